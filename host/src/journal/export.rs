//! Export: JSON lines, one object a line, and the same verification without the store.
//!
//! The first line is the store, then each chain's registration followed by its rows, and the last
//! line counts them, so that an export that was cut off is known by its end. Hashes and ids are
//! hexadecimal. A `body` is the JSON that was sealed, byte for byte; one that would not
//! survive that way stands as text in `body_text`.

use super::anchor::{Proof, SignedHead};
use super::heads::{Heads, hex_bytes};
use super::lines::Lines;
use super::{JournalError, Report, Verifier};
use crate::storage::{
    ChainHead, ChainRange, ChainRecord, Hex, PAGE_ROWS_MAX, RowRange, Storage, StoreId, StoredRow,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{BufRead, Write};

/// What to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exported {
    /// All chains.
    All,
    /// The chain with this number.
    Chain(i64),
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct StoreLine<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    format: u32,
    id: Cow<'a, str>,
    /// Whether all chains follow.
    whole: bool,
}

#[derive(Serialize, Deserialize)]
struct ChainLine<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    number: i64,
    id: Cow<'a, str>,
    opened_us: i64,
    plugin: Cow<'a, str>,
    first: Cow<'a, str>,
    link: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct RowLine<'a> {
    #[serde(rename = "type")]
    line: Cow<'a, str>,
    chain: i64,
    seq: i64,
    time_us: i64,
    kind: Cow<'a, str>,
    who: Cow<'a, str>,
    call: Cow<'a, str>,
    component: Cow<'a, str>,
    capability: Cow<'a, str>,
    target: Cow<'a, str>,
    verdict: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_text: Option<Cow<'a, str>>,
    hash: Cow<'a, str>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct EndLine<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    chains: u64,
    rows: u64,
    /// The hash of the last row; empty where there is none.
    head: Cow<'a, str>,
}

/// What was written or read so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    chains: u64,
    rows: u64,
    head: Vec<u8>,
}

impl Count {
    fn row(&mut self, row: &StoredRow) {
        self.rows += 1;
        self.head.clone_from(&row.hash);
    }
}

/// 1 had no last line.
const FORMAT: u32 = 2;

/// Writes an export. Chains that are registered meanwhile are left out. Fails if the store cannot
/// be read or the output not be written.
pub async fn export(
    store: &dyn Storage,
    what: Exported,
    out: &mut (dyn Write + Send),
) -> Result<(), JournalError> {
    let head = store.head().await?;
    let (first, last) = match what {
        Exported::All => (i64::MIN, head.chains),
        Exported::Chain(number) => (number, number),
    };
    let id = head.id.to_string().into();
    let whole = what == Exported::All;
    line(out, &StoreLine { kind: "store".into(), format: FORMAT, id, whole })?;
    let mut count = Count::default();
    let mut from = first;
    loop {
        let mut page = store.chains(ChainRange::From(from), PAGE_ROWS_MAX).await?;
        page.retain(|chain| chain.number <= last);
        let Some(newest) = page.last() else { break };
        from = newest.number.saturating_add(1);
        for chain in page {
            line(out, &chain_line(&chain))?;
            count.chains += 1;
            export_rows(store, chain.number, out, &mut count).await?;
        }
    }
    let Count { chains, rows, head } = &count;
    line(out, &EndLine { kind: "end".into(), chains: *chains, rows: *rows, head: hex(head) })?;
    out.flush()?;
    Ok(())
}

async fn export_rows(
    store: &dyn Storage,
    chain: i64,
    out: &mut (dyn Write + Send),
    count: &mut Count,
) -> Result<(), JournalError> {
    let mut from = i64::MIN;
    loop {
        let range = RowRange { from: (chain, from), until_chain: chain };
        let page = store.rows(range, PAGE_ROWS_MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from = last.seq.saturating_add(1);
        for row in &page {
            line(out, &row_line(row))?;
            count.row(row);
        }
    }
}

fn line(out: &mut (dyn Write + Send), line: &impl Serialize) -> Result<(), JournalError> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

fn hex(bytes: &[u8]) -> Cow<'static, str> {
    Hex(bytes).to_string().into()
}

fn chain_line(chain: &ChainRecord) -> ChainLine<'_> {
    ChainLine {
        kind: "chain".into(),
        number: chain.number,
        id: hex(&chain.id),
        opened_us: chain.opened_us,
        plugin: chain.plugin.as_str().into(),
        first: hex(&chain.first),
        link: hex(&chain.link),
    }
}

fn row_line(row: &StoredRow) -> RowLine<'_> {
    let call = match uuid::Uuid::from_slice(&row.call) {
        Ok(call) => call.to_string().into(),
        Err(_) => hex(&row.call),
    };
    // `null` would read back as "none", and a line cannot hold a line end.
    let raw = serde_json::from_str::<&RawValue>(&row.body).ok();
    let body = raw.filter(|raw| raw.get() == row.body && raw.get() != "null");
    let body = body.filter(|raw| !raw.get().contains(['\n', '\r']));
    let text = (body.is_none() && !row.body.is_empty()).then(|| row.body.as_str().into());
    RowLine {
        line: "row".into(),
        chain: row.chain,
        seq: row.seq,
        time_us: row.time_us,
        kind: row.kind.as_str().into(),
        who: row.who.as_str().into(),
        call,
        component: hex(&row.component),
        capability: row.capability.as_str().into(),
        target: row.target.as_str().into(),
        verdict: row.verdict.as_str().into(),
        body,
        body_text: text,
        hash: hex(&row.hash),
    }
}

/// Checks an export as [`super::verify`] checks a store, and, with a head file, that it has what
/// that says as [`super::verify_against`] does. Fails if a line is not one of an export or head
/// file; what it says is a problem in the report.
pub fn verify_export(
    input: impl BufRead,
    heads: Option<impl BufRead>,
) -> Result<Report, JournalError> {
    check_export(input, heads, Vec::new())
}

/// Checks an export, and that it has what signed heads say, whose signatures
/// [`super::read_signed_heads`] has checked: no store is needed, and no trust but in the key.
/// Fails as [`verify_export`] does, and when the export is not of all chains.
pub fn verify_export_signed(
    input: impl BufRead,
    heads: Vec<SignedHead>,
) -> Result<Report, JournalError> {
    check_export(input, None::<&[u8]>, heads)
}

fn check_export(
    input: impl BufRead,
    heads: Option<impl BufRead>,
    signed: Vec<SignedHead>,
) -> Result<Report, JournalError> {
    let mut lines = Lines::new(input, "export");
    let (id, whole) = first_line(&mut lines)?;
    if !whole && !signed.is_empty() {
        return Err(lines.error(
            "it is of one run, and a signed head is of all of them: bring an export of all, or a \
             proof (`aos-host audit prove`)",
        ));
    }
    let mut heads = heads.map(Heads::open).transpose()?;
    let mut verifier = verifier_of(id, whole);
    if let Some(heads) = &heads {
        verifier = verifier.against(id, heads.store.clone());
    }
    let head = |chain| heads.as_mut().map_or(Ok(None), |heads| heads.of_chain(chain));
    read_export(lines, verifier.signed(id, signed), head)
}

/// Checks that an export is sound and has the chain of a proof, with the row that the proof names.
/// The proof itself is to be checked before ([`Proof::check`]). Fails as [`verify_export`] does,
/// and with `NoChain`.
pub fn verify_export_proof(input: impl BufRead, proof: &Proof) -> Result<Report, JournalError> {
    let mut lines = Lines::new(input, "export");
    let (id, whole) = first_line(&mut lines)?;
    let mut seen = false;
    let report = read_export(lines, verifier_of(id, whole), |chain| {
        let is_it = chain == proof.number;
        seen |= is_it;
        Ok(is_it.then(|| ChainHead {
            number: proof.number,
            id: proof.id.clone(),
            rows: proof.rows,
            hash: proof.hash.clone(),
            kind: String::new(),
        }))
    })?;
    match seen {
        true => Ok(report),
        false => Err(JournalError::NoChain(Hex(&proof.id).to_string())),
    }
}

/// The store's id, and whether all chains follow.
fn first_line<R: BufRead>(lines: &mut Lines<R>) -> Result<(StoreId, bool), JournalError> {
    let first = lines.next()?.and_then(|line| serde_json::from_str::<StoreLine<'_>>(line).ok());
    let store = first.filter(|first| first.kind == "store" && first.format == FORMAT);
    let store = store.and_then(|line| Some((line.id.parse::<StoreId>().ok()?, line.whole)));
    let wrong = || lines.error(format!("an export of format {FORMAT} starts with its store"));
    store.ok_or_else(wrong)
}

fn verifier_of(store: StoreId, whole: bool) -> Verifier {
    match whole {
        true => Verifier::new(store),
        false => Verifier::partial(store),
    }
}

/// Reads what follows the first line; `head` is what is known of a chain.
fn read_export<R: BufRead>(
    mut lines: Lines<R>,
    mut verifier: Verifier,
    mut head: impl FnMut(i64) -> Result<Option<ChainHead>, JournalError>,
) -> Result<Report, JournalError> {
    let mut count = Count::default();
    while let Some(line) = lines.next()? {
        match read_line(line) {
            Ok(Line::Chain(chain)) => {
                count.chains += 1;
                let head = head(chain.number)?;
                verifier.chain(chain, head);
            }
            Ok(Line::Row(row)) => {
                count.row(&row);
                verifier.row(&row);
            }
            Ok(Line::End(told)) => {
                if told != count {
                    verifier.end("its last line does not fit what is before it");
                }
                if lines.next()?.is_some() {
                    return Err(lines.error("nothing follows the last line of an export"));
                }
                return Ok(verifier.finish());
            }
            Err(what) => return Err(lines.error(what)),
        }
    }
    verifier.end("the export was cut off: its last line is missing");
    Ok(verifier.finish())
}

enum Line {
    Chain(ChainRecord),
    Row(StoredRow),
    End(Count),
}

fn read_line(line: &str) -> Result<Line, String> {
    let wrong = |error: serde_json::Error| error.to_string();
    let tag: Tag<'_> = serde_json::from_str(line).map_err(wrong)?;
    let read = match &*tag.kind {
        "chain" => chain_record(serde_json::from_str(line).map_err(wrong)?).map(Line::Chain),
        "row" => stored_row(serde_json::from_str(line).map_err(wrong)?).map(Line::Row),
        "end" => end(serde_json::from_str(line).map_err(wrong)?).map(Line::End),
        other => return Err(format!("`{other}` is none of `chain`, `row` and `end`")),
    };
    read.ok_or_else(|| "a hash or id is not hexadecimal".to_owned())
}

fn end(line: EndLine<'_>) -> Option<Count> {
    Some(Count { chains: line.chains, rows: line.rows, head: hex_bytes(&line.head)? })
}

fn chain_record(line: ChainLine<'_>) -> Option<ChainRecord> {
    Some(ChainRecord {
        number: line.number,
        id: hex_bytes(&line.id)?,
        opened_us: line.opened_us,
        plugin: line.plugin.into_owned(),
        first: hex_bytes(&line.first)?,
        link: hex_bytes(&line.link)?,
    })
}

fn stored_row(line: RowLine<'_>) -> Option<StoredRow> {
    let text = line.body_text.map(Cow::into_owned);
    let body = line.body.map(|body| body.get().to_owned()).or(text);
    Some(StoredRow {
        chain: line.chain,
        seq: line.seq,
        time_us: line.time_us,
        kind: line.kind.into_owned(),
        who: line.who.into_owned(),
        call: hex_bytes(&line.call)?,
        component: hex_bytes(&line.component)?,
        capability: line.capability.into_owned(),
        target: line.target.into_owned(),
        verdict: line.verdict.into_owned(),
        body: body.unwrap_or_default(),
        hash: hex_bytes(&line.hash)?,
    })
}
