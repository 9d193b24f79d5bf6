//! The split of the task, as the model gives it.

use aos_sdk::agent::Error;
use aos_sdk::context::{self, PageKind};
use aos_sdk::model::{self, Options, StopReason, ToolChoice};
use aos_sdk::schema;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::role::Role;

/// Asks for the plan.
const SPLIT: &str = "\
Split the task between the four. Answer with a JSON object alone: the members architect, \
developer, tester and documenter, each the whole of what that one has to do, in words that make \
sense without the task. Leave out who has nothing to do.";

/// How often a model may try to write a plan.
const TRIES_MAX: u32 = 3;

/// Who has to do what.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// What the Architect has to do.
    #[serde(default)]
    architect: String,
    /// What the Developer has to do.
    #[serde(default)]
    developer: String,
    /// What the Tester has to do.
    #[serde(default)]
    tester: String,
    /// What the Documenter has to do.
    #[serde(default)]
    documenter: String,
}

impl Plan {
    /// What this one has to do; none for nothing.
    pub(crate) fn part(&self, role: Role) -> Option<&str> {
        let part = match role {
            Role::Architect => &self.architect,
            Role::Developer => &self.developer,
            Role::Tester => &self.tester,
            Role::Documenter => &self.documenter,
        };
        let part = part.trim();
        (!part.is_empty()).then_some(part)
    }

    /// Reads what the model said. Many a model puts its JSON between words or fences.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (Some(start), Some(end)) = (text.find('{'), text.rfind('}')) else {
            return Err("there is no JSON object in it".to_owned());
        };
        let object = text.get(start..=end).ok_or("there is no JSON object in it")?;
        let plan: Self = serde_json::from_str(object).map_err(|error| error.to_string())?;
        let roles = [Role::Architect, Role::Developer, Role::Tester, Role::Documenter];
        if roles.iter().all(|role| plan.part(*role).is_none()) {
            return Err("nobody has anything to do".to_owned());
        }
        Ok(plan)
    }
}

/// Asks the model for a plan, and again, with the reason, where what it wrote is none.
pub(crate) fn make() -> Result<Plan, Error> {
    context::append(PageKind::User, SPLIT)?;
    let options = Options::new()
        .tools(Vec::<String>::new())
        .tool_choice(ToolChoice::None)
        .response_schema(schema::arguments::<Plan>());
    let mut reason = String::new();
    for _ in 0..TRIES_MAX {
        let reply = model::step(&options)?;
        if let StopReason::Refusal(reason) = reply.stop {
            return Err(Error::Refused(reason));
        }
        match Plan::parse(&reply.text()) {
            Ok(plan) => return Ok(plan),
            Err(wrong) => reason = wrong,
        }
        let again = format!("That is no plan: {reason}. Answer with the JSON object alone.");
        context::append(PageKind::User, again)?;
    }
    Err(Error::failed(format!("the model wrote no plan in {TRIES_MAX} tries: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_found_between_words_and_fences() {
        let text = "Here it is:\n```json\n{\"architect\": \" draw \", \"tester\": \"\"}\n```";
        let plan = Plan::parse(text).expect("a plan");
        assert_eq!(plan.part(Role::Architect), Some("draw"));
        assert_eq!(plan.part(Role::Tester), None);
        assert_eq!(plan.part(Role::Developer), None);
    }

    #[test]
    fn what_is_no_plan_says_why() {
        for (text, reason) in [
            ("I cannot.", "no JSON object"),
            ("} {", "no JSON object"),
            ("{}", "nobody has anything to do"),
            (r#"{"architect": "x", "boss": "y"}"#, "unknown field `boss`"),
            (r#"{"architect": 7}"#, "expected a string"),
        ] {
            let error = Plan::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
