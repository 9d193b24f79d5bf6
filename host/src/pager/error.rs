//! What the pager refuses: one variant for each different reaction.

use super::page::PageId;

/// A refusal. The context is as it was before the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PagerError {
    /// The caller's own head cannot be sent with this budget.
    #[error(
        "the head (system and task pages) takes {head_tokens} tokens and the budget is \
         {budget_tokens}: give a budget of at least {needed_tokens} tokens"
    )]
    HeadTooLarge {
        /// Tokens of the head.
        head_tokens: u64,
        /// The budget in force, in tokens.
        budget_tokens: u64,
        /// The smallest budget that would do, in tokens.
        needed_tokens: u64,
    },
    /// No page has this number, or it was freed.
    #[error("there is no page {0}")]
    NoSuchPage(PageId),
    /// A page that cannot be shown and cannot be split.
    #[error("{0}")]
    TooLarge(String),
    /// A page that the provider's rules do not let follow what is there.
    #[error("{0}")]
    OutOfOrder(String),
    /// What must stay (head, pins, open tool calls, what is new) is more than the budget.
    #[error(
        "what must stay in the window takes {needed_tokens} tokens and the budget is \
         {budget_tokens}: unpin pages or raise the budget"
    )]
    Wedged {
        /// Tokens of what may not leave.
        needed_tokens: u64,
        /// The budget in force, in tokens.
        budget_tokens: u64,
    },
    /// A snapshot that does not hold together: what is wrong with it.
    #[error("the stored context is damaged: {0}")]
    Damaged(String),
}
