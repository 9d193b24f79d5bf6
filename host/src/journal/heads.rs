//! Heads: how far a store and each of its chains have come, to be kept where the store's writer
//! cannot reach. One line for the store, then one a chain, oldest first:
//! ```text
//! aos-host-heads 1 STORE_ID CHAINS LINK
//! NUMBER CHAIN_ID ROWS HASH
//! ```

use super::JournalError;
use super::lines::Lines;
use crate::storage::{ChainHead, Hex, Storage, StoreHead, StoreId};
use std::io::{BufRead, Write};

const MAGIC: &str = "aos-host-heads";
const VERSION: &str = "1";

/// Writes the heads of all chains. Rows that are appended meanwhile may or may not be counted.
/// Fails if the store cannot be read or the output not be written.
pub async fn write_heads(
    store: &dyn Storage,
    out: &mut (dyn Write + Send),
) -> Result<(), JournalError> {
    let head = store.head().await?;
    writeln!(out, "{MAGIC} {VERSION} {} {} {}", head.id, head.chains, Hex(&head.link))?;
    let mut next = i64::MIN;
    loop {
        let page = store.chain_heads(next).await?;
        let Some(last) = page.last() else { break };
        next = last.number.saturating_add(1);
        for chain in page.iter().filter(|chain| chain.number <= head.chains) {
            let (id, hash) = (Hex(&chain.id), Hex(&chain.hash));
            writeln!(out, "{} {id} {} {hash}", chain.number, chain.rows)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// A head file that is read along with the store.
pub(super) struct Heads<R> {
    lines: Lines<R>,
    /// What its first line says.
    pub(super) store: StoreHead,
    /// A line that was read, and is about a later chain than those asked for.
    ahead: Option<ChainHead>,
    /// The newest chain that was asked for.
    asked: i64,
}

impl<R: BufRead> Heads<R> {
    /// Reads the first line. Fails if it is not one of a head file of this version.
    pub(super) fn open(input: R) -> Result<Self, JournalError> {
        let mut lines = Lines::new(input, "head file");
        let store = lines.next()?.and_then(store_head);
        let wrong = || lines.error(format!("expected `{MAGIC} {VERSION} STORE CHAINS LINK`"));
        let store = store.ok_or_else(wrong)?;
        Ok(Self { lines, store, ahead: None, asked: 0 })
    }

    /// The head of this chain, if there is one; chains are asked for in ascending order. Fails on
    /// a line that is none, and where a chain that the first line counts has no line.
    pub(super) fn of_chain(&mut self, number: i64) -> Result<Option<ChainHead>, JournalError> {
        while self.ahead.as_ref().is_none_or(|head| head.number < number) {
            self.ahead = self.next()?;
            if self.ahead.is_none() {
                break;
            }
        }
        let head = self.ahead.take_if(|head| head.number == number);
        // What is doubled or out of place is not the head file's fault.
        let in_order = number > self.asked && number <= self.store.chains;
        self.asked = self.asked.max(number);
        if head.is_none() && in_order {
            let chains = self.store.chains;
            let what =
                format!("its first line counts {chains} chains, and chain {number} has none");
            return Err(self.lines.error(format!("{what}: it was shortened")));
        }
        Ok(head)
    }

    /// The next line; `None` at the end.
    fn next(&mut self) -> Result<Option<ChainHead>, JournalError> {
        let Some(line) = self.lines.next()? else { return Ok(None) };
        match chain_head(line) {
            Some(head) => Ok(Some(head)),
            None => Err(self.lines.error("expected `NUMBER CHAIN ROWS HASH`")),
        }
    }
}

fn store_head(line: &str) -> Option<StoreHead> {
    let mut words = line.split(' ');
    (words.next()? == MAGIC && words.next()? == VERSION).then_some(())?;
    let id: StoreId = words.next()?.parse().ok()?;
    let chains = words.next()?.parse().ok()?;
    let link = hex_bytes(words.next()?)?;
    words.next().is_none().then_some(StoreHead { id, chains, link })
}

fn chain_head(line: &str) -> Option<ChainHead> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let id = hex_bytes(words.next()?)?;
    let rows = words.next()?.parse().ok()?;
    let hash = hex_bytes(words.next()?)?;
    words.next().is_none().then(|| ChainHead { number, id, rows, hash, kind: String::new() })
}

/// Any number of bytes in hexadecimal; hyphens, as in a UUID, are skipped.
pub(super) fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}
