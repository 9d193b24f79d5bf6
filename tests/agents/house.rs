//! One kernel with agents, a scripted model, and the rogue.

use std::time::Duration;

use aos_host::config::Config;
use aos_host::config::agent::{AgentSpec, agent_options};
use aos_host::kernel::agents::SpawnError;
use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::model::{ModelOptions, Models};
use aos_host::types::{Ending, Pid, Standing};

use crate::support::top;

/// Longer than any honest step takes on a busy machine; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A host in memory.
pub struct House {
    pub kernel: Kernel,
    models: Models,
    config: Config,
    folder: tempfile::TempDir,
}

/// What a model says that answers everything.
pub const TALKER: &str = "[[turn]]\nsay = \"word\"\nrepeat = 1000000\n";

impl House {
    /// With the default bounds.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other bounds.
    pub async fn with(change: impl FnOnce(&mut aos_host::kernel::agents::AgentOptions)) -> Self {
        Self::with_models(ModelOptions::default(), change).await
    }

    /// With providers of one's own.
    pub async fn with_models(
        models: ModelOptions,
        change: impl FnOnce(&mut aos_host::kernel::agents::AgentOptions),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let file = folder.path().join("aos.toml");
        let text = format!("[cache]\nfolder = {:?}\n", cache.display().to_string());
        std::fs::write(&file, text).expect("writes");
        let mut config = Config::load(Some(&file)).expect("loads");
        config.plugin_path = vec![crate::support::dist(), top().join("tests/guests/dist")];
        let kernel = Kernel::builder().cache(cache, None).build().await.expect("a kernel");
        let environment = std::sync::Arc::new(|_: &str| None);
        let models = Models::new(models, environment).expect("models");
        let mut options = agent_options(&config, models.clone());
        options.schedule.workers = 2;
        change(&mut options);
        kernel.start_agents(options).expect("starts");
        let house = Self { kernel, models, config, folder };
        house.script("talker", TALKER);
        house
    }

    /// Writes a script, and gives the name of its model.
    pub fn script(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, text).expect("writes");
        format!("script:{}", path.display())
    }

    /// A file or folder of the house's own.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A rogue with this task; it may start children of its own kind.
    pub fn rogue(&self, task: &str) -> AgentSpec {
        AgentSpec {
            program: "rogue".into(),
            task: task.into(),
            model: Some(format!("script:{}", self.path("talker.toml").display())),
            spawn: vec!["rogue".into()],
            ..AgentSpec::default()
        }
    }

    /// Starts an agent.
    pub async fn spawn(&self, spec: AgentSpec) -> Pid {
        self.try_spawn(spec).await.expect("spawns")
    }

    /// Starts an agent, or says why not.
    pub async fn try_spawn(&self, spec: AgentSpec) -> Result<Pid, SpawnError> {
        let options = SessionOptions::default();
        let spawn = spec.resolve(&self.config, &self.kernel, &self.models, options).await;
        let spawn = spawn.unwrap_or_else(|error| panic!("{error}"));
        self.kernel.agents().expect("agents").spawn_first(spawn).await
    }

    /// Tries to start an agent that is refused.
    pub async fn refused(&self, spec: AgentSpec) -> SpawnError {
        self.try_spawn(spec).await.expect_err("it is refused")
    }

    /// Waits until an agent stands so.
    pub async fn stands(&self, pid: Pid, standing: Standing) {
        let agents = self.kernel.agents().expect("agents");
        let stands = async {
            while agents.show(pid).expect("is").standing != standing {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let stands = tokio::time::timeout(PATIENCE, stands).await;
        stands.unwrap_or_else(|_| panic!("not {standing}: {:?}", agents.show(pid)));
    }

    /// How an agent ended.
    #[track_caller]
    pub fn ended(&self, pid: Pid) -> impl Future<Output = Ending> {
        let agents = self.kernel.agents().expect("agents");
        async move {
            let waited = tokio::time::timeout(PATIENCE, agents.wait(pid)).await;
            waited.unwrap_or_else(|_| panic!("{:?} does not end", agents.show(pid))).expect("is")
        }
    }

    /// Runs a rogue to its end, beside a neighbour that must live and end as ever.
    pub async fn run(&self, task: &str) -> Ending {
        let rogue = self.spawn(self.rogue(task)).await;
        let ending = self.ended(rogue).await;
        self.neighbour().await;
        ending
    }

    /// An honest agent: three turns of the model.
    pub async fn neighbour(&self) {
        let pid = self.spawn(self.rogue("count 3")).await;
        let ending = self.ended(pid).await;
        assert!(matches!(&ending, Ending::Returned(_)), "{ending:?}");
    }

    /// Starts a rogue that ends only when it is ended, sees that a neighbour lives beside it, and
    /// ends it.
    pub async fn outlives(&self, task: &str) {
        let rogue = self.spawn(self.rogue(task)).await;
        self.neighbour().await;
        let agents = self.kernel.agents().expect("agents");
        let shown = agents.show(rogue).expect("is");
        assert!(shown.ending.is_none(), "it has ended by itself: {shown:?}");
        agents.end(rogue, "the test").expect("lives");
        assert_eq!(self.ended(rogue).await, Ending::Killed("the test".into()), "{task}");
        assert!(agents.list().iter().all(|view| view.ending.is_some()), "{:?}", agents.list());
    }
}
