//! What the agent is asked to do, and how.

use std::num::NonZeroU32;

use aos_sdk::agent::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A task with options.
///
/// ```
/// use assistant::Order;
///
/// let text = r#"{"task": "Sum the amounts in /w/bills.json", "turns_max": 8}"#;
/// let order = Order::parse(text).expect("an order");
/// assert_eq!(order.turns_max.map(|turns| turns.get()), Some(8));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What to do, in words.
    pub task: String,
    /// How often the model may be asked at most; 20 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns_max: Option<NonZeroU32>,
    /// What the model is told about itself, instead of the assistant's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// `provider/model`, instead of the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Names of tools to offer, as `plugin__tool`, instead of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
}

impl Order {
    /// Reads a task. Only a JSON object with a member `task` is an order; all else is the task
    /// itself, also where it happens to be JSON.
    ///
    /// # Errors
    /// Where the task is empty, and where an order has a member that it cannot have.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let order = match serde_json::from_str::<Value>(text) {
            Ok(value) if value.get("task").is_some() => serde_json::from_value(value)
                .map_err(|error| Error::failed(format!("the order makes no sense: {error}")))?,
            Ok(_) | Err(_) => Self { task: text.to_owned(), ..Self::default() },
        };
        if order.task.trim().is_empty() {
            return Err(Error::failed("there is no task; say what to do with --task \"…\""));
        }
        Ok(order)
    }

    /// The order as the text of a task.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("invariant: a struct of texts and numbers is JSON")
    }
}
