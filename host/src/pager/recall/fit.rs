//! From a ranking to what is shown: the best pages that fit a number of tokens, in the log's order.

use super::super::page::PageId;
use super::super::split;
use super::super::tokens::Count;
use super::query::Hit;

/// What the line before a recalled page takes, in tokens.
pub const FRAME_TOKENS: u64 = 6;
/// An excerpt of a page that does not fit is of at most so many tokens: enough to see whether to
/// ask for the page.
pub const EXCERPT_TOKENS: u64 = 80;
/// No more hits are looked at.
const HITS_MAX: usize = 64;

/// A page to be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// The page.
    pub id: PageId,
    /// Its score.
    pub score: f32,
    /// Tokens that it may take, without the line before it.
    pub tokens: u64,
    /// The page is larger than that: show its beginning.
    pub excerpt: bool,
}

/// The beginning of a page that is shown in at most so many tokens.
pub fn excerpt<'a>(text: &'a str, tokens_max: u64, counter: &dyn Count) -> &'a str {
    &text[..split::beginning(text, tokens_max, counter)]
}

/// The best of `hits` within `tokens_max`, in the order of the log. `tokens_of` gives a page's
/// tokens, and nothing for a page that is not wanted (freed, or in the window already).
///
/// A page that does not fit is passed over for a smaller one; where none fits, the best gives an
/// excerpt.
pub fn fit(hits: &[Hit], tokens_max: u64, tokens_of: impl Fn(PageId) -> Option<u64>) -> Vec<Pick> {
    let wanted = hits.iter().filter_map(|hit| Some((hit, tokens_of(hit.id)?))).take(HITS_MAX);
    let (mut picks, mut left, mut best) = (Vec::new(), tokens_max, None);
    for (Hit { id, score }, tokens) in wanted {
        best = best.or(Some((*id, *score, tokens)));
        if tokens + FRAME_TOKENS <= left {
            left -= tokens + FRAME_TOKENS;
            picks.push(Pick { id: *id, score: *score, tokens, excerpt: false });
        }
    }
    if let (true, Some((id, score, tokens))) = (picks.is_empty(), best)
        && tokens_max > FRAME_TOKENS
    {
        let tokens = tokens.min(EXCERPT_TOKENS).min(tokens_max - FRAME_TOKENS);
        picks.push(Pick { id, score, tokens, excerpt: true });
    }
    picks.sort_unstable_by_key(|pick| pick.id);
    picks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(ids: &[u64]) -> Vec<Hit> {
        ids.iter()
            .zip([9.0, 8.0, 7.0, 6.0])
            .map(|(id, score)| Hit { id: PageId(*id), score })
            .collect()
    }

    fn ids(picks: &[Pick]) -> Vec<u64> {
        picks.iter().map(|pick| pick.id.0).collect()
    }

    #[test]
    fn the_best_that_fit_come_in_the_logs_order() {
        let picks = fit(&hits(&[7, 3, 5]), 50, |id| Some(if id.0 == 3 { 100 } else { 10 }));
        assert_eq!(ids(&picks), [5, 7]);
        assert!(picks.iter().map(|pick| pick.tokens + FRAME_TOKENS).sum::<u64>() <= 50);
    }

    #[test]
    fn pages_that_are_not_wanted_are_left_out() {
        let picks = fit(&hits(&[7, 3]), 50, |id| (id.0 != 7).then_some(10));
        assert_eq!(ids(&picks), [3]);
    }

    #[test]
    fn the_best_gives_an_excerpt_where_none_fits() {
        let picks = fit(&hits(&[7, 3]), 250, |_| Some(10_000));
        assert_eq!(ids(&picks), [7]);
        assert!(picks[0].excerpt && picks[0].tokens == EXCERPT_TOKENS);
        assert_eq!(fit(&hits(&[7]), 3, |_| Some(10_000)), []);
    }
}
