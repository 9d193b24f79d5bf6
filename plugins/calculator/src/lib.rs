//! A calculator: one tool, no grants. It shows the smallest plugin that is worth having.
//!
//! Numbers are double-precision floats, so about 15 digits are right. Every input is bounded:
//! length and nesting by the parser, size by the largest float.

mod functions;
mod lexer;
mod parser;

use aos_sdk::{ToolError, plugin, tool};
use schemars::JsonSchema;
use serde::Deserialize;

/// An expression is a line, not a program; a longer one is a mistake or an attack.
pub const EXPRESSION_BYTES_MAX: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
struct Calculate {
    /// The expression, for example `(2 + 3) * 4^2` or `sqrt(2) * sin(pi / 4)`.
    #[schemars(length(min = 1, max = 10_000))]
    expression: String,
}

/// Evaluates an arithmetic expression and returns its value.
///
/// Operators: + - * / % (remainder) ^ or ** (power, from right to left), and parentheses.
/// Functions: sqrt cbrt abs sign min max round(x, digits) floor ceil trunc exp ln log10 log2
/// log(x, base) sin cos tan asin acos atan atan2(y, x) sinh cosh tanh hypot degrees radians
/// factorial. Angles are in radians. Constants: pi, tau, e. About 15 digits are exact.
#[tool(read_only, idempotent, title = "Calculate")]
fn calculate(arguments: Calculate) -> Result<f64, ToolError> {
    let expression = &arguments.expression;
    if expression.len() > EXPRESSION_BYTES_MAX {
        let expected = format!("at most {EXPRESSION_BYTES_MAX} bytes, not {}", expression.len());
        return Err(ToolError::invalid("expression", expected));
    }
    parser::evaluate(expression).map_err(|error| ToolError::invalid("expression", error))
}

plugin!(calculate);

#[cfg(test)]
mod tests {
    use aos_sdk::testing::{Host, Manifest};
    use serde_json::json;

    use super::*;

    fn text(expression: &str) -> Result<String, ToolError> {
        let arguments = json!({ "expression": expression });
        Host::new().call(&plugin(), "calculate", arguments).map(|output| output.to_text())
    }

    #[test]
    fn the_manifest_is_well_formed_and_its_examples_hold() {
        let manifest = Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
        manifest.check_examples(&Host::new(), &plugin()).expect("examples hold");
    }

    #[test]
    fn whole_results_have_no_fraction() {
        assert_eq!(text("7 * 6").as_deref(), Ok("42"));
        assert_eq!(text("7 / 2").as_deref(), Ok("3.5"));
        assert_eq!(text("1e300 * 10").as_deref(), Ok("1e+301"));
    }

    #[test]
    fn structured_output_holds_the_number() {
        let arguments = json!({ "expression": "(2+3)*4^2" });
        let output = Host::new().call(&plugin(), "calculate", arguments).expect("an output");
        assert_eq!(output.structured.as_deref(), Some(r#"{"result":80}"#));
    }

    #[test]
    fn errors_name_the_argument_and_the_column() {
        let error = text("2 + * 3").expect_err("no operand");
        let expected = "expression: column 5: expected a number, a name or (, not *";
        assert_eq!(error, ToolError::InvalidArguments(expected.to_owned()));
    }

    #[test]
    fn long_expressions_are_refused() {
        let error = text(&"1+".repeat(EXPRESSION_BYTES_MAX)).expect_err("too long");
        assert!(error.to_string().contains("at most 10000 bytes"), "{error}");
    }
}
