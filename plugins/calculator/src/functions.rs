//! Constants and functions by name.

use std::f64::consts;

/// Any float past this factorial is infinite.
const FACTORIAL_MAX: f64 = 170.0;

/// A constant's value.
pub(crate) fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" | "π" => Some(consts::PI),
        "tau" | "τ" => Some(consts::TAU),
        "e" => Some(consts::E),
        _ => None,
    }
}

/// Whether there is a function of this name.
pub(crate) fn exists(name: &str) -> bool {
    arity(name).is_some()
}

/// The fewest and the most arguments that a function takes.
fn arity(name: &str) -> Option<(usize, usize)> {
    match name {
        "sqrt" | "cbrt" | "abs" | "sign" | "floor" | "ceil" | "trunc" | "exp" | "ln" | "log10"
        | "log2" | "sin" | "cos" | "tan" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh"
        | "degrees" | "radians" | "factorial" => Some((1, 1)),
        "round" | "log" => Some((1, 2)),
        "atan2" | "hypot" | "pow" => Some((2, 2)),
        "min" | "max" => Some((1, usize::MAX)),
        _ => None,
    }
}

/// The value, which may be no finite number, or a sentence about the arguments.
pub(crate) fn apply(name: &str, arguments: &[f64]) -> Result<f64, String> {
    let Some((fewest, most)) = arity(name) else {
        return Err(format!("there is no function named {name}"));
    };
    if arguments.len() < fewest || arguments.len() > most {
        let expected = match (fewest, most) {
            (1, 1) => "1 argument".to_owned(),
            (fewest, most) if fewest == most => format!("{fewest} arguments"),
            (fewest, usize::MAX) => format!("at least {fewest} argument"),
            (fewest, most) => format!("{fewest} to {most} arguments"),
        };
        return Err(format!("{name} takes {expected}, not {}", arguments.len()));
    }
    match *arguments {
        [x] => one(name, x),
        [x, y] if most == 2 => two(name, x, y),
        _ => Ok(many(name, arguments)),
    }
}

fn one(name: &str, x: f64) -> Result<f64, String> {
    Ok(match name {
        "sqrt" => x.sqrt(),
        "cbrt" => x.cbrt(),
        "abs" => x.abs(),
        "sign" if x == 0.0 => 0.0,
        "sign" => x.signum(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "trunc" => x.trunc(),
        "round" => x.round(),
        "exp" => x.exp(),
        "ln" | "log" => x.ln(),
        "log10" => x.log10(),
        "log2" => x.log2(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tan" => x.tan(),
        "asin" => x.asin(),
        "acos" => x.acos(),
        "atan" => x.atan(),
        "sinh" => x.sinh(),
        "cosh" => x.cosh(),
        "tanh" => x.tanh(),
        "degrees" => x.to_degrees(),
        "radians" => x.to_radians(),
        "factorial" => return factorial(x),
        _ => many(name, &[x]),
    })
}

fn two(name: &str, x: f64, y: f64) -> Result<f64, String> {
    Ok(match name {
        "round" => return round(x, y),
        "log" => x.ln() / y.ln(),
        "atan2" => x.atan2(y),
        "hypot" => x.hypot(y),
        _ => x.powf(y),
    })
}

fn many(name: &str, arguments: &[f64]) -> f64 {
    let values = arguments.iter().copied();
    if name == "min" {
        values.fold(f64::INFINITY, f64::min)
    } else {
        values.fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Through decimal text, so that 2.675 does not become 2.67 by a detour over a power of ten.
fn round(x: f64, digits: f64) -> Result<f64, String> {
    if digits.fract() != 0.0 || !(0.0..=15.0).contains(&digits) {
        return Err("round takes 0 to 15 digits".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 15")]
    let digits = digits as usize;
    format!("{x:.digits$}").parse().map_err(|_| "round has no value here".to_owned())
}

fn factorial(x: f64) -> Result<f64, String> {
    if x.fract() != 0.0 || !(0.0..=FACTORIAL_MAX).contains(&x) {
        return Err(format!("factorial takes a whole number from 0 to {FACTORIAL_MAX}"));
    }
    let mut product = 1.0;
    let mut factor = 2.0;
    while factor <= x {
        product *= factor;
        factor += 1.0;
    }
    Ok(product)
}
