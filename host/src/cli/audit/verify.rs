//! `aos-host audit verify`: the store or an export, by itself or against a head kept elsewhere.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::find::chain_of;
use super::{count, opened, time};
use crate::cli::exit::{Code, Failure};
use crate::cli::run::Format;
use crate::cli::terminal::{self, visible};
use crate::config::Config;
use crate::journal::{
    Proof, PublicKey, Report, SignedHead, read_signed_heads, verify as verify_all, verify_against,
    verify_chain, verify_export, verify_export_proof, verify_export_signed, verify_signed,
};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only the rows of this one: a pid, an agent's name, the beginning of a run's id, or `last`
    #[arg(value_name = "PID|RUN", conflicts_with_all = ["all", "head", "export", "proof"])]
    run: Option<String>,
    /// Every chain, and that none is missing; so it is without PID|RUN too
    #[arg(long)]
    all: bool,
    /// Heads written by `audit head`, or signed ones by `audit anchor` or `serve --anchor`, and
    /// kept elsewhere: with them a cut-off end and a journal that was written anew are found too
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// The key that signed the heads or the proof, as `audit key` prints it, or `@FILE`
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Check an export instead of the store
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// A proof by `audit prove`: alone, or with an export of that run
    #[arg(long, value_name = "FILE", conflicts_with = "head")]
    proof: Option<PathBuf>,
    /// How it is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// What is brought from outside.
enum Evidence {
    Nothing,
    Heads(BufReader<File>),
    Signed(Vec<SignedHead>),
}

pub(super) async fn verify(config: &Config, arguments: &VerifyArgs) -> Result<Code, Failure> {
    let output = arguments.output;
    let key = arguments.public_key.as_deref().map(public_key).transpose()?;
    if let Some(path) = &arguments.proof {
        return proven(path, key, arguments.export.as_deref(), output);
    }
    let evidence = evidence(arguments.head.as_deref(), key)?;
    let note = match &evidence {
        Evidence::Signed(heads) => Some(as_signed(heads)),
        Evidence::Nothing | Evidence::Heads(_) => None,
    };
    let report = match (&arguments.export, evidence) {
        (Some(path), Evidence::Nothing) => verify_export(open(path)?, None::<&[u8]>)?,
        (Some(path), Evidence::Heads(heads)) => verify_export(open(path)?, Some(heads))?,
        (Some(path), Evidence::Signed(heads)) => verify_export_signed(open(path)?, heads)?,
        (None, evidence) => {
            let store = opened(&config.store).await?;
            match (&arguments.run, evidence) {
                (Some(run), _) => verify_chain(&*store, chain_of(&*store, run).await?).await?,
                (None, Evidence::Nothing) => verify_all(&*store).await?,
                (None, Evidence::Heads(heads)) => verify_against(&*store, heads).await?,
                (None, Evidence::Signed(heads)) => verify_signed(&*store, heads).await?,
            }
        }
    };
    told(&report, output, note.as_deref())
}

fn as_signed(heads: &[SignedHead]) -> String {
    let newest = heads.last().map_or(0, |head| head.time_us);
    let heads = count(heads.len() as u64, "signed head");
    format!("as {heads} had it, the newest of {}", time(newest))
}

/// Opens the head file; the first character tells signed heads from others.
fn evidence(path: Option<&Path>, key: Option<PublicKey>) -> Result<Evidence, Failure> {
    let Some(path) = path else {
        return match key {
            None => Ok(Evidence::Nothing),
            Some(_) => Err(Failure::usage("--public-key checks a signed head: bring it, `--head`")),
        };
    };
    let name = path.display();
    let mut input = open(path)?;
    let start = input.fill_buf().map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    match (start.trim_ascii_start().first() == Some(&b'{'), key) {
        (true, Some(key)) => Ok(Evidence::Signed(read_signed_heads(input, &key)?)),
        (true, None) => Err(Failure::usage(format!(
            "{name} is a signed head: bring the key of who signed it, `--public-key` (there, \
             `aos-host audit key` prints it)"
        ))),
        (false, Some(_)) => Err(Failure::usage(format!(
            "{name} is not signed, so --public-key says nothing of it; `aos-host audit anchor` \
             writes signed heads"
        ))),
        (false, None) => Ok(Evidence::Heads(input)),
    }
}

fn public_key(text: &str) -> Result<PublicKey, Failure> {
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(path) => small_file(Path::new(path))?,
    };
    text.parse().map_err(|error| Failure::usage(format!("--public-key: {error}")))
}

/// The text of a file of at most 16 MiB.
pub(in crate::cli) fn small_file(path: &Path) -> Result<String, Failure> {
    const BYTES_MAX: u64 = 16 << 20;
    let mut text = String::new();
    let read = open(path)?.take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(text)
}

pub(super) fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file =
        File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(BufReader::new(file))
}

/// Checks a proof, and the export of its run if there is one.
fn proven(
    path: &Path,
    key: Option<PublicKey>,
    export: Option<&Path>,
    output: Format,
) -> Result<Code, Failure> {
    let name = path.display();
    let key = key.ok_or_else(|| {
        Failure::usage("a proof is checked by the key of who signed its head: `--public-key`")
    })?;
    let proof = small_file(path)?.trim().parse::<Proof>();
    let proof = proof.map_err(|what| Failure::usage(format!("{name}: {what}")))?;
    proof.check(&key).map_err(|what| Failure::host(format!("{name} proves nothing: {what}")))?;
    let id = crate::storage::Hex(&proof.id).to_string();
    let rows = u64::try_from(proof.rows).unwrap_or(0);
    let note = format!("run {id} had {} at {}", count(rows, "row"), time(proof.head.time_us));
    match (export, output) {
        (Some(export), _) => {
            told(&verify_export_proof(open(export)?, &proof)?, output, Some(&note))
        }
        (None, Format::Text) => terminal::print_line(&format!("ok: {note}")),
        (None, Format::Json) => terminal::print_line(
            &json!({
                "ok": true, "run": id, "rows": rows, "time": time(proof.head.time_us),
                "hash": crate::storage::Hex(&proof.hash).to_string(),
            })
            .to_string(),
        ),
    }
}

/// Says what a verification found; anything found is a failure of the host's own record.
pub(in crate::cli) fn tell(report: &Report, format: Format) -> Result<Code, Failure> {
    told(report, format, None)
}

/// With what was held against it.
fn told(report: &Report, format: Format, note: Option<&str>) -> Result<Code, Failure> {
    if format == Format::Json {
        terminal::print_line(&as_json(report).to_string())?;
        return match report.is_clean() {
            true => Ok(Code::Ok),
            false => Err(Failure::silent(Code::Host)),
        };
    }
    let rows = count(report.rows, "row");
    if report.is_clean() {
        let mut text = format!("ok: {rows} in {}", count(report.chains, "chain"));
        if let Some(note) = note {
            text.push_str(&format!("; {note}"));
        }
        if report.open > 0 {
            text.push_str(&format!(
                "; {} without an end: running, ended by a crash, or cut (only a kept head tells)",
                report.open
            ));
        }
        if report.unended > 0 {
            text.push_str(&format!(
                "; {} of {} without an end: under way, or cut by a signal or a crash",
                report.unended,
                count(report.calls, "call")
            ));
        }
        return terminal::print_line(&text);
    }
    for problem in &report.problems {
        terminal::print_line(&visible(&problem.to_string()))?;
    }
    let problems = count(report.problems_total, "problem");
    Err(Failure::host(format!("the journal was changed: {problems} in {rows}")))
}

fn as_json(report: &Report) -> serde_json::Value {
    let problems = report.problems.iter().map(|problem| {
        json!({
            "chain": problem.chain, "id": problem.id, "row": problem.seq, "what": problem.what,
        })
    });
    json!({
        "ok": report.is_clean(), "rows": report.rows, "chains": report.chains,
        "open": report.open, "calls": report.calls, "unended": report.unended,
        "problems": problems.collect::<Vec<_>>(), "problems_total": report.problems_total,
    })
}
