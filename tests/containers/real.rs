//! A real daemon, with busybox as `aos-test:1`: that what is asked of it holds.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ran, User};

/// The daemon's address; these tests are run by `tests/run.sh`, which starts one.
fn docker() -> String {
    std::env::var("AOS_TEST_DOCKER").expect("AOS_TEST_DOCKER: tests/docker.sh starts a daemon")
}

fn command(user: &User, arguments: &[&str]) -> Command {
    let mut command = user.command();
    command.env("DOCKER_HOST", docker()).args(arguments);
    command
}

fn run(user: &User, arguments: &[&str]) -> Ran {
    let output = command(user, arguments).output().expect("starts");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A user with a tool `sh` that runs any script: what a program in an image may do at worst.
fn user_with_a_shell() -> User {
    use std::os::unix::fs::PermissionsExt;
    let user = User::new();
    let template = "[[tools]]\nname = 'sh'\ndescription = ''\nargv = ['-c', { value = 'script' }]\n\
                    [tools.parameters.script]\ntype = 'text'\nlines = true\n";
    std::fs::write(user.folder().join("sh.toml"), template).expect("writes");
    std::fs::create_dir_all(user.folder().join("src/secret")).expect("mkdir");
    std::fs::write(user.folder().join("src/secret/key"), "the key").expect("writes");
    std::fs::write(user.folder().join("src/a.txt"), "alpha\nbeta\n").expect("writes");
    // The container's user is nobody where the host is root.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(user.folder(), open).expect("opened");
    let wrap = ["tool", "wrap", "/bin/sh", "--name", "sh", "--image", "aos-test:1"];
    let flags = ["--template", "sh.toml", "--read", "./src:/src"];
    run(&user, &[&wrap[..], &flags].concat()).expect(0);
    user
}

fn script(user: &User, script: &str, flags: &[&str]) -> Ran {
    let input = serde_json::json!({ "script": script }).to_string();
    run(user, &[&["run", "sh", "--tool", "sh", "--input", &input][..], flags].concat())
}

fn left(user: &User) -> usize {
    let id = std::fs::read_to_string(user.folder().join(".local/state/aos-host/host.id"));
    let label = format!("label=aos-host.host={}", id.expect("an id").trim());
    let mut list = Command::new("docker");
    let list = list.env("DOCKER_HOST", docker()).args(["ps", "-aq", "--filter", &label]);
    String::from_utf8_lossy(&list.output().expect("lists").stdout).lines().count()
}

#[test]
#[ignore = "needs Docker: tests/run.sh"]
fn docker_holds_what_a_container_may_not_do() {
    let user = user_with_a_shell();
    let said = |text: &str| script(&user, text, &[]).expect(0).stdout;
    let status = said("cat /proc/self/status");
    for line in
        ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
    {
        assert!(status.contains(line), "{line} in {status}");
    }
    assert!(!said("id -u").starts_with("0\n"));
    assert_eq!(said("ls /sys/class/net").trim(), "lo");
    for denied in [
        "echo x > /x",
        "echo x > /src/x",
        "mount -t tmpfs x /tmp",
        "wget -T 2 1.1.1.1",
        "chmod 4755 /bin/sh",
        "head -c 1 /proc/kcore | grep -q .",
        "mknod /tmp/d b 8 0",
        "cp /bin/busybox /tmp/b && /tmp/b true",
    ] {
        let ran = script(&user, denied, &[]);
        assert_eq!(ran.code, 1, "{denied}: {ran:?}");
    }
    let environment = said("env | sort | cut -d= -f1 | tr '\\n' ' '");
    assert_eq!(environment.trim(), "HOME HOSTNAME LANG PATH PWD SHLVL TMPDIR");
    assert_eq!(said("cat /src/a.txt").trim(), "alpha\nbeta");
    assert_eq!(left(&user), 0);
}

#[test]
#[ignore = "needs Docker: tests/run.sh"]
fn docker_hides_a_closed_path() {
    let user = user_with_a_shell();
    assert_eq!(script(&user, "cat /src/secret/key", &[]).expect(0).stdout.trim(), "the key");
    let closed = ["--deny-path", "./src/secret"];
    script(&user, "cat /src/secret/key", &closed).expect(1);
    assert_eq!(script(&user, "ls /src/secret", &closed).expect(0).stdout.trim(), "");
    let closed = ["--deny-path", "./src/a.txt"];
    assert_eq!(script(&user, "cat /src/a.txt", &closed).expect(0).stdout.trim(), "");
}

#[test]
#[ignore = "needs Docker: tests/run.sh"]
fn docker_ends_what_is_over_its_limits() {
    let user = user_with_a_shell();
    let began = Instant::now();
    script(&user, "sleep 60", &["--timeout", "2s"]).complains(4, &["limit time of 2000 ms"]);
    // Far below the sixty seconds, on a slow machine too.
    assert!(began.elapsed() < Duration::from_secs(30));
    script(&user, "exec yes", &["--max-output", "64KiB"]).complains(4, &["limit output"]);
    let eat = "x=a; while true; do x=$x$x; done";
    script(&user, eat, &["--max-memory", "16MiB"]).complains(4, &["limit memory"]);
    // A bomb of processes ends at its bound, and the time ends the rest.
    let bomb = "b() { b | b & }; b; sleep 60";
    script(&user, bomb, &["--timeout", "3s"]).expect(4);
    assert_eq!(left(&user), 0, "all of them are removed");
}

#[test]
#[ignore = "needs Docker: tests/run.sh"]
fn docker_is_rid_of_what_a_killed_host_left() {
    let user = user_with_a_shell();
    let input = r#"{"script":"sleep 300"}"#;
    let mut child =
        command(&user, &["run", "sh", "--tool", "sh", "--input", input, "--timeout", "5m"])
            .spawn()
            .expect("starts");
    let began = Instant::now();
    while left(&user) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "no container came");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert_eq!(left(&user), 1, "nobody was left to remove it");
    script(&user, "true", &[]).expect(0);
    assert_eq!(left(&user), 0, "the next start does");
}

#[test]
#[ignore = "needs Docker: tests/run.sh"]
fn docker_images_are_discovered_and_their_tools_work() {
    let user = user_with_a_shell();
    let found = run(&user, &["tool", "discover", "--image", "aos-test:1", "-o", "json"]).expect(0);
    let found: Value = serde_json::from_str(&found.stdout).expect("JSON");
    let wrapped = |program: &str| {
        let all = found["programs"].as_array().expect("a list");
        all.iter().any(|one| one["program"] == program && one["wrapped"] == true)
    };
    assert!(wrapped("/bin/grep") && wrapped("/bin/tar") && !wrapped("/bin/sh"));
    let read = ["--allow-read", "./src:/src"];
    let call = |tool: &str, input: &str| {
        run(&user, &[&["run", tool, "--input", input][..], &read].concat()).expect(0).stdout
    };
    assert!(call("grep", r#"{"pattern":"^b","paths":["/src/a.txt"]}"#).contains("2:beta"));
    assert!(call("grep", r#"{"pattern":"-x","paths":["/src/a.txt"]}"#).contains("\"lines\": []"));
    assert!(call("sort", r#"{"input":"b\na\n","reverse":true}"#).contains("\"b\",\n    \"a\""));
    assert!(call("wc", r#"{"paths":["/src/a.txt"],"lines":true}"#).contains("2 /src/a.txt"));
    assert!(call("find", r#"{"paths":["/src"],"name":"*.txt"}"#).contains("/src/a.txt"));
    assert!(call("awk", r#"{"program":"{ print NR }","paths":["/src/a.txt"]}"#).contains("1\n2"));
    run(&user, &["tool", "list"]).expect(0);
    run(&user, &["tool", "show", "grep"]).expect(0);
    run(&user, &["tool", "remove", "grep"]).expect(0);
    run(&user, &["tool", "show", "grep"]).complains(5, &["no container tool `grep`"]);
    run(&user, &["tool", "wrap", "greep", "--image", "aos-test:1"])
        .complains(2, &["did you mean `grep`?"]);
    run(&user, &["tool", "wrap", "sh", "--image", "aos-test:1"]).complains(2, &["a shell"]);
    run(&user, &["tool", "wrap", "sh", "--image", "none:1"]).complains(2, &["--pull"]);
    assert_eq!(left(&user), 0);
}
