//! `aos-host plugin build`: plugins that are too large to come with the program. Their sources do;
//! they are built by the toolchain of this machine, and go where plugins are looked up by name.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::build::{self as project, Language};
use crate::cli::exit::{Code, Failure};
use crate::cli::terminal;
use crate::config::Config;

/// A plugin that is built here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Large {
    /// Runs Python code: CPython, 20 MB
    Python,
}

impl Large {
    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
        }
    }

    fn language(self) -> Language {
        match self {
            Self::Python => Language::Python,
        }
    }

    /// Its sources, by name.
    fn sources(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Python => &[
                ("plugin.toml", include_str!("../../../../plugins/python/plugin.toml")),
                ("tools.py", include_str!("../../../../plugins/python/tools.py")),
                ("library.py", include_str!("../../../../plugins/python/library.py")),
                // The library that every new project in Python gets.
                ("aos.py", include_str!("../../../templates/python-tool/aos.py")),
            ],
        }
    }

    /// A call of it, for who has just built it.
    fn example(self) -> &'static str {
        match self {
            Self::Python => {
                r#"aos-host run python --tool execute --input '{"code":"print(sum(range(10)))"}'"#
            }
        }
    }
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The plugin
    #[arg(value_enum)]
    plugin: Large,
    /// Where it goes, instead of the folder in which plugins are looked up
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Builds it, and says where it is and how it is run.
pub async fn build(config: &Config, arguments: &BuildArgs) -> Result<Code, Failure> {
    let plugin = arguments.plugin;
    let folder = config.state_folder.join("build").join(plugin.name());
    lay_out(&folder, plugin.sources())
        .map_err(|error| Failure::host(format!("{}: {error}", folder.display())))?;
    let target = match &arguments.output {
        Some(file) => file.clone(),
        None => installed(config)?.join(format!("{}.wasm", plugin.name())),
    };
    let arguments = project::BuildArgs::of(folder, plugin.language(), target);
    let built = project::make(config, &arguments).await?;
    terminal::print_line(&format!("{}\n{}", built.words, plugin.example()))
}

/// The data folder's own place for plugins, the last that is looked through.
fn installed(config: &Config) -> Result<&Path, Failure> {
    let folder = config.plugin_path.last().map(PathBuf::as_path);
    folder.ok_or_else(|| Failure::host("there is no folder for plugins; say --output FILE"))
}

fn lay_out(folder: &Path, sources: &[(&str, &str)]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    sources.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}
