//! What Docker is told, field by field, and what it is not asked at all.

use serde_json::{Value, json};

use super::fake::Fake;
use crate::support::{Ran, User};

/// A user with one tool, and the folder that it may read.
pub fn user_with(image: &str, extra: &str) -> User {
    let user = User::new();
    let plugins = user.folder().join(".local/share/aos-host/plugins");
    std::fs::create_dir_all(&plugins).expect("mkdir");
    let text = format!(
        "aos-tool = 1\nname = 'look'\nimage = 'sha256:{image}'\n{extra}\n\
         [[grants]]\nask = 'read:/src'\nreason = 'to look'\n\
         [[tools]]\nname = 'look'\ndescription = 'Looks'\nprogram = '/bin/look'\n\
         argv = ['-n', '--', {{ value = 'pattern' }}, {{ value = 'paths' }}]\noutput = 'lines'\n\
         read_only = true\n[tools.parameters]\n\
         pattern = {{ type = 'text', required = true }}\n\
         paths = {{ type = 'paths', default = ['/src'] }}\n"
    );
    std::fs::write(plugins.join("look.tool.toml"), text).expect("writes");
    std::fs::create_dir_all(user.folder().join("src/secret")).expect("mkdir");
    user
}

fn run(user: &User, docker: &str, arguments: &[&str]) -> Ran {
    let mut command = user.command();
    command.env("DOCKER_HOST", docker).args(["run", "look", "--tool", "look"]).args(arguments);
    let output = command.output().expect("starts");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const READ: [&str; 2] = ["--allow-read", "./src:/src"];

/// All of `HostConfig` for the call of the test below.
fn shut(user: &User) -> Value {
    let src = user.folder().join("src").canonicalize().expect("real").display().to_string();
    let limit = |name: &str, to: u64| json!({ "Name": name, "Soft": to, "Hard": to });
    json!({
                "NetworkMode": "none", "ReadonlyRootfs": true, "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"], "Privileged": false,
                "IpcMode": "none", "CgroupnsMode": "private", "PidsLimit": 7,
                "Memory": 32 << 20, "MemorySwap": 32 << 20, "NanoCpus": 1_000_000_000,
                "Ulimits": [limit("core", 0), limit("nofile", 1024), limit("fsize", 1 << 30),
                            limit("cpu", 30)],
                "Tmpfs": { "/tmp": format!("rw,noexec,nosuid,nodev,size={},mode=1777", 2 << 20) },
                "Mounts": [
                    { "Type": "bind", "Source": src, "Target": "/src", "ReadOnly": true,
                      "BindOptions": { "Propagation": "rprivate", "NonRecursive": true } },
                    { "Type": "tmpfs", "Target": "/src/secret", "ReadOnly": true,
                      "TmpfsOptions": { "SizeBytes": 4096, "Mode": 0o555 } },
                ],
                "RestartPolicy": { "Name": "no" }, "LogConfig": { "Type": "none" },
                "AutoRemove": false, "PublishAllPorts": false,
    })
}

#[test]
fn docker_is_told_to_shut_a_container_in_field_by_field() {
    let user = user_with(&"1".repeat(64), "limits = { pids = 7, memory_mib = 32, tmp_mib = 2 }");
    let fake = Fake::on_socket(user.folder());
    let denied = ["--deny-path", "./src/secret", "--arg", "pattern=$(id) -rf *"];
    let ran = run(&user, &fake.address, &[&READ[..], &denied].concat()).expect(0);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(answer, json!({ "lines": ["one", "two"] }));
    let mut body = fake.sent("POST /containers/create").remove(0).body;
    assert_eq!(body["HostConfig"].take(), shut(&user));
    let labels = body["Labels"].take();
    assert_eq!(labels["aos-host.host"].as_str().expect("an id").len(), 32);
    assert!(labels["aos-host.owner"].as_str().expect("an owner").contains('.'));
    let user_of_it = body["User"].take();
    assert!(!user_of_it.as_str().expect("a user").starts_with("0:"), "{user_of_it}");
    assert_eq!(
        body,
        json!({
            "Hostname": "tool", "User": null, "Labels": null, "WorkingDir": "/",
            "AttachStdin": false, "AttachStdout": true, "AttachStderr": true,
            "OpenStdin": false, "StdinOnce": false, "Tty": false,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME=/tmp", "LANG=C.UTF-8", "TMPDIR=/tmp"],
            "Image": format!("sha256:{}", "1".repeat(64)),
            "Entrypoint": ["/bin/look"],
            "Cmd": ["-n", "--", "$(id) -rf *", "/src"],
            "NetworkDisabled": true, "StopSignal": "SIGKILL", "Healthcheck": { "Test": ["NONE"] },
            "HostConfig": null,
        })
    );
    // It is gone before the answer's process is.
    let removed = fake.sent("DELETE /containers/aos-");
    assert_eq!(removed.len(), 1, "{removed:?}");
    assert!(removed[0].line.contains("force=true"), "{removed:?}");
}

#[test]
fn without_docker_there_is_one_clear_error_and_nothing_runs() {
    let user = user_with(&"1".repeat(64), "");
    let arguments = [&READ[..], &["--arg", "pattern=x"]].concat();
    let ran = run(&user, "unix:///nowhere/docker.sock", &arguments);
    ran.complains(1, &["unix:///nowhere/docker.sock", "apt-get install", "nowhere else"]);
    let ran = run(&user, "ssh://me@there", &arguments);
    ran.complains(1, &["DOCKER_HOST", "ssh -nNT"]);
}

#[test]
fn a_remote_daemon_gets_no_folders() {
    let user = user_with(&"1".repeat(64), "");
    let fake = Fake::on_tcp();
    let ran = run(&user, &fake.address, &[&READ[..], &["--arg", "pattern=x"]].concat());
    ran.complains(1, &["taken for another machine"]);
    assert!(fake.sent("POST").is_empty(), "nothing is made there");
}

#[test]
fn arguments_that_are_no_data_never_reach_docker() {
    let user = user_with(&"1".repeat(64), "");
    let fake = Fake::on_socket(user.folder());
    for (input, code) in [
        (json!({ "pattern": "a\n-e" }), 2),
        (json!({ "pattern": "@/src/list" }), 2),
        (json!({ "pattern": "x", "paths": ["--pre=sh"] }), 2),
        (json!({ "pattern": "x", "paths": ["/src/../etc"] }), 2),
        (json!({ "pattern": "x", "flags": "-r" }), 2),
        (json!({ "pattern": "x", "paths": ["/etc/passwd"] }), 3),
    ] {
        let input = input.to_string();
        run(&user, &fake.address, &[&READ[..], &["--input", &input]].concat()).expect(code);
    }
    assert!(fake.sent("POST").is_empty());
}

#[test]
fn an_image_that_is_not_there_is_told_with_what_to_do() {
    let user = user_with(&"0".repeat(64), "");
    let fake = Fake::on_socket(user.folder());
    let ran = run(&user, &fake.address, &[&READ[..], &["--arg", "pattern=x"]].concat());
    ran.complains(1, &["is not there", "aos-host tool wrap"]);
}

#[test]
fn what_a_dead_host_left_is_removed_and_nobody_elses() {
    let user = user_with(&"1".repeat(64), "");
    let fake = Fake::on_socket(user.folder());
    let arguments = [&READ[..], &["--arg", "pattern=x"]].concat();
    run(&user, &fake.address, &arguments).expect(0);
    let labels = fake.sent("POST /containers/create").remove(0).body["Labels"].take();
    // The process that made it has ended, as if it had died.
    let alive = json!({ "aos-host.host": labels["aos-host.host"], "aos-host.owner": own() });
    let other =
        json!({ "aos-host.host": "0".repeat(32), "aos-host.owner": labels["aos-host.owner"] });
    fake.has(json!([
        { "Id": "left", "Labels": labels }, { "Id": "alive", "Labels": alive },
        { "Id": "other", "Labels": other }, { "Id": "strange", "Labels": {} },
    ]));
    run(&user, &fake.address, &arguments).expect(0);
    let removed: Vec<String> = fake.sent("DELETE").into_iter().map(|sent| sent.line).collect();
    let of = |id: &str| removed.iter().filter(|line| line.contains(&format!("/{id}?"))).count();
    assert_eq!((of("left"), of("alive"), of("other"), of("strange")), (1, 0, 0, 0), "{removed:?}");
    let listed = fake.sent("GET /containers/json").remove(1).line;
    assert!(listed.contains("all=true") && listed.contains("aos-host.host"), "{listed}");
}

/// This test's process, as a host would name itself.
fn own() -> String {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("reads");
    let started = stat.rsplit_once(')').expect("a name").1.split_whitespace().nth(19);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("reads");
    format!("{}.{}.{}", std::process::id(), started.expect("a time"), boot.trim())
}

#[test]
fn a_call_is_written_down_before_it_and_its_folders_are_verdicts() {
    let user = user_with(&"1".repeat(64), "");
    let fake = Fake::on_socket(user.folder());
    run(&user, &fake.address, &[&READ[..], &["--arg", "pattern=x"]].concat()).expect(0);
    let rows = user.run(&["audit", "export"]).expect(0).stdout;
    let kinds: Vec<(String, String)> = rows
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|row| Some((row["kind"].as_str()?.into(), row["target"].as_str()?.into())))
        .collect();
    let place = |kind: &str, target: &str| {
        kinds
            .iter()
            .position(|(k, t)| k == kind && t == target)
            .unwrap_or_else(|| panic!("{kinds:?}"))
    };
    assert!(place("accepted", "look") < place("verdict", "/src"));
    assert!(place("verdict", "/src") < place("outcome", "look"));
    user.run(&["audit", "verify"]).expect(0);
}

#[test]
fn a_strangers_file_gives_itself_nothing() {
    let user = user_with(&"1".repeat(64), "");
    let src = user.folder().join("src").display().to_string();
    let kept = user.folder().join(".local/share/aos-host/plugins/look.tool.toml");
    let text = std::fs::read_to_string(&kept).expect("reads");
    let allow = format!("aos-tool = 1\nallow = ['read:{src}:/src']\n");
    let text = text.replacen("aos-tool = 1\n", &allow, 1);
    std::fs::write(user.folder().join("look.tool.toml"), &text).expect("writes");
    let fake = Fake::on_socket(user.folder());
    let mut command = user.command();
    command.env("DOCKER_HOST", &fake.address);
    let arguments = ["run", "./look.tool.toml", "--tool", "look", "--arg", "pattern=x"];
    assert_eq!(command.args(arguments).output().expect("runs").status.code(), Some(3));
    assert!(fake.sent("POST").is_empty());
    // The same line in the operator's own folder is the operator's.
    std::fs::write(kept, text).expect("writes");
    run(&user, &fake.address, &["--arg", "pattern=x"]).expect(0);
}
