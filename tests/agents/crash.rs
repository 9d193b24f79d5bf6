//! A crash between every two writes of the store: wherever it comes, the next host takes the agents
//! up, and they end as if there had been none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aos_host::config::Config;
use aos_host::config::agent::{AgentSpec, agent_options};
use aos_host::journal::verify;
use aos_host::kernel::{Kernel, SessionOptions};
use aos_host::model::{ModelOptions, Models};
use aos_host::storage::{ProcessRange, Storage, StoreUrl};
use aos_host::types::{Ending, Pid};

use super::house::PATIENCE;
use crate::full_disk::Filling;
use crate::support::{dist, top};

/// What agents need, whichever host they are under.
struct Ground {
    folder: tempfile::TempDir,
    config: Config,
    models: Models,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("aos.toml");
        std::fs::write(&file, "").expect("writes");
        let mut config = Config::load(Some(&file)).expect("loads");
        config.plugin_path = vec![dist(), top().join("tests/guests/dist")];
        let environment = Arc::new(|_: &str| None);
        let models = Models::new(ModelOptions::default(), environment).expect("models");
        Self { folder, config, models }
    }

    /// A host over a store.
    async fn host(&self, storage: Arc<dyn Storage>) -> Kernel {
        let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        let kernel = Kernel::builder().storage(storage).cache(cache, None).build().await;
        let kernel = kernel.expect("a kernel");
        let mut options = agent_options(&self.config, self.models.clone());
        options.schedule.workers = 2;
        options.resumes = true;
        kernel.start_agents(options).expect("starts");
        kernel
    }

    fn spec(&self, task: &str, script: &str) -> AgentSpec {
        let path = self.folder.path().join("script.toml");
        std::fs::write(&path, script).expect("writes");
        AgentSpec {
            program: "rogue".into(),
            task: task.into(),
            model: Some(format!("script:{}", path.display())),
            spawn: vec!["rogue".into()],
            plugins: vec!["calculator".into()],
            ..AgentSpec::default()
        }
    }
}

/// How the agent ended under a host whose store takes so many writes, if it was born at all.
async fn under_the_first(
    ground: &Ground,
    storage: Arc<dyn Storage>,
    spec: &AgentSpec,
) -> Option<Ending> {
    let kernel = ground.host(storage).await;
    let options = SessionOptions::default();
    let spawn = spec.resolve(&ground.config, &kernel, &ground.models, options).await;
    let agents = kernel.agents().expect("agents");
    let pid = agents.spawn_first(spawn.expect("a spawn")).await.ok()?;
    let ended = tokio::time::timeout(PATIENCE, agents.wait(pid)).await;
    Some(ended.expect("it ends, or its journal does").expect("is"))
}

/// Goes on under a host whose store takes everything; every agent must end as if nothing had been.
async fn under_the_next(
    ground: &Ground,
    storage: &Arc<dyn Storage>,
    room: usize,
    expected: &Ending,
) {
    let kernel = ground.host(Arc::clone(storage)).await;
    let agents = kernel.agents().expect("agents");
    let recovered = agents.recover().await.expect("recovers");
    assert_eq!(recovered.stopped, [], "room {room}");
    for record in storage.processes(ProcessRange::LiveAfter(0)).await.expect("reads") {
        let waited = tokio::time::timeout(PATIENCE, agents.wait(Pid(record.pid))).await;
        let ending = waited.unwrap_or_else(|_| panic!("room {room}: {:?}", agents.list()));
        let ending = ending.expect("it is in the table");
        if record.parent == 0 {
            assert_eq!(&ending, expected, "room {room}");
        }
    }
    agents.close(std::time::Duration::ZERO).await;
    kernel.sync().await.expect("syncs");
}

/// Tries a crash after every write, until none is left to crash after. Returns how many there were.
async fn crashes(task: &str, script: &str) -> usize {
    let ground = Ground::new();
    let spec = ground.spec(task, script);
    let whole = StoreUrl::Memory.open().await.expect("opens");
    let expected = under_the_first(&ground, whole, &spec).await.expect("it is born");
    assert!(matches!(expected, Ending::Returned(_)), "{expected:?}");
    for room in 0.. {
        let inner = StoreUrl::Memory.open().await.expect("opens");
        let room_left = AtomicUsize::new(room);
        let filling = Arc::new(Filling { inner: Arc::clone(&inner), room: room_left });
        let ended = under_the_first(&ground, Arc::clone(&filling) as _, &spec).await;
        let is_whole = filling.room.load(Ordering::SeqCst) > 0;
        under_the_next(&ground, &inner, room, &expected).await;
        let report = verify(&*inner).await.expect("verifies");
        assert!(report.is_clean(), "room {room}: {report:?}");
        let all = inner.processes(ProcessRange::After(0)).await.expect("reads");
        assert!(all.iter().all(|record| record.ended), "room {room}: {all:?}");
        if is_whole {
            assert_eq!(ended, Some(expected), "without a crash");
            return room;
        }
    }
    unreachable!("a run has an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_writes_changes_nothing_for_an_agent() {
    let script = "[[turn]]\nsay = \"word\"\nrepeat = 100\n";
    let writes = crashes("count 2", script).await;
    assert!(writes > 5, "{writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_writes_changes_nothing_for_a_parent_and_its_child() {
    let script = "[[turn]]\nsay = \"word\"\nrepeat = 100\n";
    let task = "spawn-tokens 100000";
    let writes = crashes(task, script).await;
    assert!(writes > 8, "{writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_writes_changes_nothing_for_a_call_that_may_be_sent_again() {
    let task = r#"call calculator__calculate {"expression":"6*7"}"#;
    let writes = crashes(task, "[[turn]]\nsay = \"x\"\n").await;
    assert!(writes >= 4, "{writes}");
}
