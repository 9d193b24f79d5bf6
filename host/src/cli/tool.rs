//! `aos-host tool`: native command lines as tools, from images that are there.

mod write;

use clap::{Args, Subcommand};
use serde_json::json;

use self::write::{Wanted, manifest};
use super::exit::{Code, Failure};
use super::render;
use super::run::Format;
use super::terminal::{self, one_line};
use crate::config::Config;
use crate::container::ContainerError;
use crate::container::catalogue;
use crate::container::daemon::Daemon;
use crate::container::discover::{Image, Program};
use crate::container::manifest::{ENDING, Native};

#[derive(Debug, Subcommand)]
pub enum ToolCommand {
    /// Make one program of an image a tool
    Wrap(WrapArgs),
    /// Look what an image offers, and make tools of the programs that are known
    Discover(DiscoverArgs),
    /// List the container tools
    List {
        /// How it is written
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Show one: its file, or as callers see it
    Show {
        /// Its name
        name: String,
        /// How it is written: the file itself, or its tools with their schemas
        #[arg(long, short, value_enum, default_value = "text")]
        output: Format,
    },
    /// Remove one; the image stays
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct WrapArgs {
    /// The program: a name, or its path in the image
    program: String,
    /// The image; what it is called now, its hash is written down
    #[arg(long)]
    image: String,
    /// A folder that the tool may read, in every run of `aos-host run`
    #[arg(long, value_name = "HOST:GUEST")]
    read: Vec<String>,
    /// A folder that the tool may read and write
    #[arg(long, value_name = "HOST:GUEST")]
    write: Vec<String>,
    /// What it is called here, instead of the program's name
    #[arg(long)]
    name: Option<String>,
    /// Tools in TOML ([[tools]]), for a program that the catalogue does not know
    #[arg(long, value_name = "FILE")]
    template: Option<std::path::PathBuf>,
    /// Have the daemon fetch the image where it is not there
    #[arg(long)]
    pull: bool,
    /// Write over a tool of that name
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct DiscoverArgs {
    /// The image
    #[arg(long)]
    image: String,
    /// What stands before the names of the tools, as `debian-`
    #[arg(long, default_value = "")]
    prefix: String,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Have the daemon fetch the image where it is not there
    #[arg(long)]
    pull: bool,
    /// Write over tools of these names
    #[arg(long)]
    force: bool,
    /// How it is written
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

impl From<ContainerError> for Failure {
    fn from(error: ContainerError) -> Self {
        let code = match error {
            ContainerError::Address(_) | ContainerError::Image(_) | ContainerError::Mount(_) => {
                Code::Usage
            }
            ContainerError::NoDaemon(..)
            | ContainerError::Start(_)
            | ContainerError::Daemon(_)
            | ContainerError::Io(_) => Code::Host,
        };
        Self::new(code, error)
    }
}

pub async fn tool(config: &Config, command: ToolCommand) -> Result<Code, Failure> {
    match command {
        ToolCommand::Wrap(arguments) => {
            let daemon = Daemon::connect(&config.containers()).await?;
            let wrapped = wrap(config, &daemon, &arguments).await;
            daemon.settle().await;
            wrapped
        }
        ToolCommand::Discover(arguments) => {
            let daemon = Daemon::connect(&config.containers()).await?;
            let discovered = discover(config, &daemon, &arguments).await;
            daemon.settle().await;
            discovered
        }
        ToolCommand::List { output } => list(config, output),
        ToolCommand::Show { name, output } => show(config, &name, output),
        ToolCommand::Remove { name } => remove(config, &name),
    }
}

async fn wrap(config: &Config, daemon: &Daemon, arguments: &WrapArgs) -> Result<Code, Failure> {
    let grants = write::grants(&arguments.read, &arguments.write)?;
    let image = daemon.image(&arguments.image, arguments.pull).await?;
    let program = find_program(daemon, &image, &arguments.program).await?;
    let tools = match &arguments.template {
        Some(path) => write::template(path)?,
        None => known(daemon, &image, &program).await?,
    };
    let name = arguments.name.clone().unwrap_or_else(|| program.name.clone());
    let wanted = Wanted { name: &name, image: &image, program: &program, tools, grants };
    let file = manifest(wanted);
    let path = write::keep(config, &file, arguments.force)?;
    let tools: Vec<&str> = file.tools.iter().map(|tool| tool.name.as_str()).collect();
    terminal::print_line(&format!(
        "{name}: {} of {} ({}); in {}\naos-host run {name} lists {} with {} arguments",
        program.path,
        one_line(&image.reference),
        image.id,
        path.display(),
        tools.join(", "),
        if tools.len() == 1 { "its" } else { "their" },
    ))
}

/// The tools of the catalogue for a program, or why there are none.
async fn known(
    daemon: &Daemon,
    image: &Image,
    program: &Program,
) -> Result<Vec<crate::container::manifest::Tool>, Failure> {
    let refuse = |why: &str| {
        let name = one_line(&program.name);
        Err(Failure::usage(format!("`{name}` is not wrapped: {why}")))
    };
    match daemon.known(image, program).await? {
        Some(entry) => match entry.refused {
            Some(why) => refuse(&why),
            None => Ok(entry.tools),
        },
        None => refuse(
            "the catalogue does not know its parameters; describe them in a file (--template): \
             [[tools]] with `name`, `description`, `argv` and `parameters`, as in `aos-host tool \
             show` of a tool that is there",
        ),
    }
}

async fn find_program(daemon: &Daemon, image: &Image, wanted: &str) -> Result<Program, Failure> {
    let programs = daemon.programs(image).await?;
    let found = programs.iter().find(|program| program.name == wanted || program.path == wanted);
    if let Some(found) = found {
        return Ok(found.clone());
    }
    if wanted.starts_with('/') {
        let name = wanted.rsplit('/').next().unwrap_or(wanted).to_owned();
        return Ok(Program { name, path: wanted.to_owned() });
    }
    let names = programs.iter().map(|program| program.name.as_str());
    let near = crate::sandbox::plain::nearest(wanted, names);
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    let reference = one_line(&image.reference);
    Err(Failure::usage(format!("`{reference}` has no program `{wanted}`{near}")))
}

/// One program that was found, and what became of it.
struct Found {
    program: Program,
    done: String,
    wrapped: bool,
}

async fn discover(
    config: &Config,
    daemon: &Daemon,
    arguments: &DiscoverArgs,
) -> Result<Code, Failure> {
    let image = daemon.image(&arguments.image, arguments.pull).await?;
    let programs = daemon.programs(&image).await?;
    let in_catalogue: Vec<String> =
        catalogue::entries().into_iter().map(|entry| entry.program).collect();
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for program in programs {
        if !in_catalogue.contains(&program.name) {
            others.push(program.name);
            continue;
        }
        let Some(entry) = daemon.known(&image, &program).await? else { continue };
        let name = format!("{}{}", arguments.prefix, program.name);
        let (done, wrapped) = match entry.refused {
            Some(why) => (format!("not wrapped: {why}"), false),
            None => {
                let grants = write::anything();
                let (image, program) = (&image, &program);
                let wanted = Wanted { name: &name, image, program, tools: entry.tools, grants };
                let file = manifest(wanted);
                match arguments.dry_run {
                    true => (write::parameters(&file), true),
                    false => match write::keep(config, &file, arguments.force) {
                        Ok(_) => (write::parameters(&file), true),
                        Err(failure) => (format!("not written: {}", failure.sentence), false),
                    },
                }
            }
        };
        found.push(Found { program, done, wrapped });
    }
    terminal::print_line(&discovered(&image, &found, &others, arguments.output))
}

fn discovered(image: &Image, found: &[Found], others: &[String], format: Format) -> String {
    if format == Format::Json {
        let found = found.iter().map(|found| {
            let Found { program, done, wrapped } = found;
            json!({ "program": program.path, "wrapped": wrapped, "what": done })
        });
        return json!({
            "image": image.id, "reference": image.reference,
            "programs": found.collect::<Vec<_>>(), "others": others,
        })
        .to_string();
    }
    let mut text = format!("{} is {}\n", one_line(&image.reference), image.id);
    for Found { program, done, .. } in found {
        text.push_str(&format!("  {:<12} {}\n", one_line(&program.name), one_line(done)));
    }
    let wrapped = found.iter().filter(|found| found.wrapped).count();
    text.push_str(&format!("{wrapped} tools; {} other programs", others.len()));
    if !others.is_empty() {
        text.push_str(&format!(", not wrapped: {}", one_line(&others.join(" "))));
    }
    text
}

fn list(config: &Config, format: Format) -> Result<Code, Failure> {
    let tools = write::all(config)?;
    if format == Format::Json {
        let tools = tools.iter().map(|(path, read)| match read {
            Ok(Native { file, hash }) => json!({
                "name": file.name, "image": file.image, "reference": file.reference,
                "tools": file.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
                "allow": file.allow, "blake3": hash.to_string(), "path": path,
            }),
            Err(problem) => json!({ "path": path, "problem": problem }),
        });
        return terminal::print_line(&json!(tools.collect::<Vec<_>>()).to_string());
    }
    if tools.is_empty() {
        return terminal::print_line(
            "no container tools; `aos-host tool wrap` and `tool discover` make some",
        );
    }
    let mut text = String::new();
    for (path, read) in &tools {
        text.push_str(&match read {
            Ok(Native { file, .. }) => format!(
                "{:<16} {:<24} {}\n",
                one_line(&file.name),
                one_line(&file.reference),
                one_line(&write::parameters(file))
            ),
            Err(problem) => format!("{}: {}\n", path.display(), one_line(problem)),
        });
    }
    terminal::print_line(&text)
}

fn show(config: &Config, name: &str, format: Format) -> Result<Code, Failure> {
    let (_, text) = write::read(config, name)?;
    let wrong = |error| Failure::new(Code::Plugin, format!("{name}: {error}"));
    let native = Native::parse(text.as_bytes()).map_err(wrong)?;
    match format {
        Format::Text => terminal::print_line(&terminal::visible(&text)),
        Format::Json => terminal::print_line(&render::definitions_json(&native.definitions())),
    }
}

fn remove(config: &Config, name: &str) -> Result<Code, Failure> {
    let (path, _) = write::read(config, name)?;
    std::fs::remove_file(&path)
        .map_err(|error| Failure::host(format!("{}: {error}", path.display())))?;
    terminal::print_line(&format!("removed {name}{ENDING}; its image stays"))
}
