//! Guests of WASI 0.3: what is granted is given by streams and futures too, what is not is refused
//! in the words of 0.3, and what is under way without end meets a limit.
//!
//! What both versions of WASI have in common is in `files` and `verdicts`, which run both guests.

use std::net::UdpSocket;
use std::time::Duration;

use aos_host::kernel::SessionOptions;
use aos_host::sandbox::limits::Limits;
use aos_host::types::{Reply, Syscall};
use serde_json::json;

use super::files::fixture;
use super::house::{
    Ending, call, command, folder_grant, guest, guest_path, house, limits, options, overlap,
};
use super::liar::Liar;
use super::network::{Server, ponging, request};
use crate::support::User;

fn run(options: &SessionOptions, arguments: &[&str]) -> Ending {
    house().once(overlap(), options, &command(arguments))
}

fn granted(grants: &[String]) -> SessionOptions {
    options(limits(), grants)
}

fn path() -> String {
    guest_path("dist/overlap.wasm").display().to_string()
}

mod programs {
    use super::*;

    #[test]
    fn a_command_prints_reads_and_ends_with_its_own_code() {
        let (user, guest) = (User::new(), path());
        let ran = user.run(&["run", &guest, "--", "print", "hello"]).expect(0);
        assert_eq!(ran.stdout, "hello\n");
        user.run(&["run", &guest, "--", "exit", "7"]).expect(7);
        user.run(&["run", &guest, "--", "fail"]).expect(1);
        let echoed = user.run_with_input(&["run", &guest, "--", "stdin"], b"one\ntwo").expect(0);
        assert_eq!(echoed.stdout, "one\ntwo");
    }

    #[test]
    fn what_was_begun_before_the_command_returned_is_carried_to_its_end() {
        assert_eq!(run(&granted(&[]), &["print-late", "late"]).printed(), "late\n");
    }

    #[test]
    fn variables_that_were_granted_are_seen_and_no_others() {
        let (user, guest) = (User::new(), path());
        let arguments = ["run", &guest, "--allow-env", "A=b", "--", "environment"];
        assert_eq!(user.run(&arguments).expect(0).stdout, "[(\"A\", \"b\")]\n");
    }

    #[test]
    fn clocks_and_random_numbers_are_the_hosts_own_and_bounded() {
        let (user, guest) = (User::new(), path());
        // Its clock began with it, and it waits as long as it asked to.
        let ran = user.run(&["run", &guest, "--", "clocks"]).expect(0);
        assert!(ran.stdout.starts_with("true true "), "{}", ran.stdout);
        let ran = user.run(&["run", &guest, "--no-clock", "--", "clocks"]).expect(0);
        assert_eq!(ran.stdout, "true false 0\n");
        let random = || user.run(&["run", &guest, "--no-random", "--", "random", "9"]).expect(0);
        assert_eq!(random().stdout, random().stdout);
        // 0.3 may give less than was asked for: it gives as much as the limit.
        let ran = user.run(&["run", &guest, "--max-random", "16", "--", "random", "17"]);
        assert!(ran.expect(0).stdout.starts_with("16 bytes "));
    }

    #[test]
    fn a_plain_component_may_export_functions_that_wait() {
        let plain = guest("plain-async.wat");
        let answer = |tool: &str, arguments| {
            let what = Syscall::Call { tool: Some(tool.into()), arguments };
            match house().once(&plain, &granted(&[]), &what).reply {
                Ok(Reply::Output(output, _)) => output.structured.expect("a value"),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(answer("double", json!({ "n": 21 })), json!(42));
        // It waits for a millisecond by the clock of 0.3 and tells how long that was.
        let waited = answer("nap", json!({}));
        assert!(waited.as_u64().is_some_and(|waited| waited >= 1_000_000), "{waited}");
    }

    #[test]
    fn a_tool_plugin_may_use_0_3_as_far_as_its_call_need_not_wait() {
        let liar = |first: &str| {
            let liar = Liar { first: Some(first.into()), ..Liar::answering("[1]") };
            house().beside_a_neighbour(&liar.plugin(), &granted(&[]), &call("tool"))
        };
        match liar("(drop (call $now))").reply {
            Ok(Reply::Output(output, _)) => assert_eq!(output.structured, Some(json!([1]))),
            other => panic!("{other:?}"),
        }
        // The contract's call is synchronous, so the component model lets it wait for nothing.
        liar("(call $wait (i64.const 1000000))").crashed("cannot block a synchronous task");
    }

    #[test]
    fn inspect_tells_the_interfaces_of_0_3_and_the_grants_they_need() {
        let ran = User::new().run(&["inspect", &path()]).expect(0);
        for (interface, grant) in [
            ("wasi:filesystem/types@0.3", "--allow-read"),
            ("wasi:http/client@0.3", "--allow-net"),
            ("wasi:sockets/types@0.3", "--allow-tcp"),
            ("wasi:cli/environment@0.3", "--allow-env"),
            ("wasi:clocks/monotonic-clock@0.3", "no grant"),
        ] {
            let line = ran.stdout.lines().find(|line| line.contains(interface));
            assert!(line.is_some_and(|line| line.contains(grant)), "{interface}: {}", ran.stdout);
        }
        assert!(!ran.stdout.contains("NOT OFFERED"), "{}", ran.stdout);
    }

    #[test]
    fn a_draft_of_0_3_is_refused_by_name() {
        let text = r#"(component
            (import "wasi:random/random@0.3.0-rc-2025-09-16" (instance
                (export "get-random-u64" (func (result u64)))))
            (import "wasi:http/handler@0.3.0" (instance
                (export "handle" (func)))))"#;
        let refused = house().load("draft", text.as_bytes()).expect_err("refused").to_string();
        assert!(refused.contains("`wasi:random/random@0.3.0-rc-2025-09-16`"), "{refused}");
        assert!(refused.contains("`wasi:http/handler@0.3.0`"), "{refused}");
        assert!(refused.contains("another version of WASI"), "{refused}");
    }

    #[test]
    fn an_agent_that_uses_0_3_is_refused_by_name() {
        let refused = |inside: &str| {
            let text = format!(
                r#"(component {inside} (instance $program)
                    (export "aos:agent/program@0.1.0" (instance $program)))"#
            );
            house().load("agent", text.into_bytes()).expect_err("refused").to_string()
        };
        let imports = refused(
            r#"(import "wasi:random/random@0.3.0" (instance
                (export "get-random-u64" (func (result u64)))))"#,
        );
        assert!(imports.contains("`wasi:random/random@0.3.0`"), "{imports}");
        assert!(imports.contains("an agent has WASI 0.2"), "{imports}");
        let waits = refused("(type (stream u8))");
        assert!(waits.contains("an agent that has async functions, streams or futures"), "{waits}");
    }
}

mod limited {
    use super::*;

    const SHORT: Duration = Duration::from_millis(500);

    fn beside(limits: Limits, arguments: &[&str]) -> Ending {
        house().beside_a_neighbour(overlap(), &options(limits, &[]), &command(arguments))
    }

    #[test]
    fn an_endless_sleep_ends_by_its_time() {
        beside(Limits { wall: SHORT, ..limits() }, &["sleep"]).by_limit("time");
    }

    #[test]
    fn an_endless_spin_that_always_yields_ends_by_its_time_and_by_its_cpu_time() {
        beside(Limits { wall: SHORT, ..limits() }, &["spin"]).by_limit("time");
        beside(Limits { cpu: SHORT, ..limits() }, &["spin"]).by_limit("cpu");
    }

    #[test]
    fn a_guest_that_waits_for_itself_is_told_so_at_once() {
        beside(limits(), &["deadlock"]).crashed("deadlock");
    }

    #[test]
    fn a_flood_of_calls_under_way_ends_at_its_limit() {
        let ending = beside(limits(), &["sleepers", "100000"]);
        ending.by_limit("tasks");
        assert!(ending.sentence().contains("--max-tasks"), "{}", ending.sentence());
        // As many as are allowed are no reason to end; then they sleep for ever.
        let few = Limits { wall: SHORT, ..limits() };
        let ending = beside(few, &["sleepers", "900"]);
        assert!(!matches!(ending.reply, Ok(Reply::Output(..))), "{ending:?}");
        assert_eq!(ending.stdout, "900 sleep\n");
    }

    #[test]
    fn a_flood_of_streams_ends_at_its_limit() {
        beside(limits(), &["streams", "100000"]).by_limit("tasks");
        assert_eq!(beside(limits(), &["streams", "400"]).printed(), "400 streams\n");
    }

    #[test]
    fn a_flood_of_stdout_ends_at_its_limit_and_not_a_byte_later() {
        let ending = beside(Limits { stdio_bytes: 1_000_000, ..limits() }, &["print-for-ever"]);
        ending.by_limit("stdio");
        assert_eq!(ending.stdout.len(), 1_000_000);
    }

    #[test]
    fn files_that_only_a_stream_holds_still_count() {
        let folder = fixture();
        let grants = [folder_grant("read", &folder.path().join("root"), "/w")];
        let ending = run(&granted(&grants), &["hold", "/w", "plain", "300"]);
        ending.by_limit("open-files");
        let ending = run(&granted(&grants), &["hold", "/w", "plain", "200"]);
        assert_eq!(ending.printed(), "held 200\n");
    }

    #[test]
    fn writes_beyond_the_rows_of_a_call_end_it_at_the_last_row() {
        let folder = fixture();
        let grants = [folder_grant("write", &folder.path().join("root"), "/w")];
        let few = Limits { rows: 40, ..limits() };
        run(&options(few, &grants), &["append", "/w", "new", "1000"]).by_limit("rows");
        let written = std::fs::metadata(folder.path().join("root/new")).expect("made").len();
        // Each write has two rows, and opening the file has two as well.
        assert_eq!(written, 19);
        let few = Limits { rows: 0, ..limits() };
        run(&options(few, &grants), &["files", "/w", "make-folder new"]).by_limit("rows");
        let grants = ["tcp:localhost:5432".to_owned()];
        let few = Limits { rows: 0, ..limits() };
        run(&options(few, &grants), &["look-up", "localhost"]).by_limit("rows");
    }

    #[test]
    fn files_that_are_opened_at_once_count_before_they_are_open() {
        let folder = fixture();
        let grants = [folder_grant("read", &folder.path().join("root"), "/w")];
        let few = Limits { open_files: 20, ..limits() };
        let open = ["open-at-once", "/w", "plain", "30"];
        run(&options(few, &grants), &open).by_limit("open-files");
        assert_eq!(run(&granted(&grants), &open).printed(), "held 30\n");
    }

    #[test]
    fn memory_and_host_calls_and_fields_are_limited_as_in_0_2() {
        let small = Limits { memory_bytes: 256 << 10, ..limits() };
        beside(small, &["print", "x"]).by_limit("memory");
        let short = Limits { hostcall_bytes: 1 << 20, ..limits() };
        beside(short, &["long-name", "2000000"]).by_limit("host-call");
        let ending = beside(limits(), &["headers"]);
        assert!(ending.printed().contains("HeaderError::SizeExceeded"), "{ending:?}");
    }

    #[test]
    fn sockets_that_only_a_stream_holds_still_count() {
        let server = Server::start(|_| {
            // The connection is closed at once; the guest's side of it stays.
            Ok(())
        });
        let grants = [format!("tcp:{}", server.address)];
        let few = Limits { open_files: 8, ..limits() };
        let hold = ["tcp-hold", &server.address.to_string(), "20"];
        run(&options(few, &grants), &hold).by_limit("open-files");
        assert_eq!(run(&granted(&grants), &hold).printed(), "held 20\n");
    }

    #[test]
    fn datagrams_that_are_waited_for_are_few() {
        let ending = run(&granted(&[]), &["receivers", "100"]);
        assert_eq!(ending.printed(), "Err(ErrorCode::OutOfMemory)\n");
    }

    #[test]
    fn requests_under_way_are_few() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let server = Server::answering(answer.into());
        let grants = [format!("net:http://{}", server.address)];
        let url = format!("{}/", server.address);
        // All are begun before the first can be answered.
        let ending = run(&granted(&grants), &["http-at-once", &url, "200"]);
        assert_eq!(ending.printed(), "168 of 200 refused\n");
        assert_eq!(server.connections(), 32);
    }
}

mod gated {
    use super::*;

    #[test]
    fn what_is_granted_is_given() {
        let folder = fixture();
        let grants = [folder_grant("write", &folder.path().join("root"), "/w")];
        let steps = ["files", "/w", "read plain", "write new text", "resize new 2", "list ."];
        let ending = run(&granted(&grants), &steps);
        let told = "read plain: ok plain\nwrite new text: ok \nresize new 2: ok \n\
                    list .: ok new,plain,sub\n";
        assert_eq!(ending.printed(), told);
        assert_eq!(std::fs::read_to_string(folder.path().join("root/new")).expect("read"), "te");
    }

    #[test]
    fn a_name_that_is_no_utf8_ends_no_listing() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let folder = fixture();
        let root = folder.path().join("root");
        std::fs::write(root.join(OsStr::from_bytes(b"b\xff")), "").expect("written");
        let grants = [folder_grant("read", &root, "/w")];
        let ending = run(&granted(&grants), &["files", "/w", "list ."]);
        assert_eq!(ending.printed(), "list .: ok plain,sub,\u{fffd}\n");
    }

    #[test]
    fn a_file_that_was_opened_for_reading_is_not_written() {
        let folder = fixture();
        let grants = [folder_grant("write", &folder.path().join("root"), "/w")];
        let ending = run(&granted(&grants), &["files", "/w", "sneak plain other"]);
        assert_eq!(ending.printed(), "sneak plain other: not-permitted\n");
        let plain = std::fs::read_to_string(folder.path().join("root/plain")).expect("read");
        assert_eq!(plain, "plain");
    }

    #[test]
    fn requests_go_where_they_are_granted_and_nowhere_else() {
        let answer = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\
                      Content-Length: 2\r\n\r\nok";
        let (server, other) = (Server::answering(answer.into()), ponging());
        let grants = [format!("net:GET http://{}", server.address)];
        let urls = [format!("{}/", server.address), format!("{}/", other.address)];
        let ending = run(&granted(&grants), &["http", &urls[0], &urls[1]]);
        let told = format!(
            "{}: 302 http://169.254.169.254/ 2 bytes\n\
             {}: refused ErrorCode::HttpRequestDenied\n",
            urls[0], urls[1]
        );
        assert_eq!(ending.printed(), told);
        assert_eq!((server.connections(), other.connections()), (1, 0));
    }

    #[test]
    fn a_name_for_all_public_hosts_opens_no_address_of_this_machine() {
        let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
        let port = server.address.port();
        for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            let url = format!("{host}:{port}/");
            let ending = run(&granted(&["net:http://*:*".into()]), &["http", &url]);
            let told = ending.printed();
            assert!(told.contains(": refused ") || told.contains(": no authority"), "{told}");
        }
        assert_eq!(server.connections(), 0);
    }

    #[test]
    fn an_answer_that_never_ends_meets_the_limit_on_bodies() {
        let server = Server::start(|stream| {
            use std::io::Write;
            request(stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            for _ in 0..10_000 {
                stream.write_all(&[b'x'; 10_000])?;
            }
            Ok(())
        });
        let url = format!("{}/", server.address);
        let limits = Limits { http_body_bytes: 1_000_000, ..limits() };
        let options = options(limits, &[format!("net:GET http://{}", server.address)]);
        let ending = run(&options, &["http", &url]);
        let told = ending.printed();
        assert!(
            told.ends_with("broken: ErrorCode::HttpResponseBodySize(Some(1000000))\n"),
            "{told}"
        );
    }

    #[test]
    fn a_body_that_is_streamed_is_sent_up_to_its_limit() {
        let (heard, sizes) = std::sync::mpsc::channel();
        let server = Server::start(move |stream| {
            request(stream)?;
            // The last chunk of a body is `0`; a body that was cut ends without.
            let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
            while !bytes.ends_with(b"0\r\n\r\n") {
                match std::io::Read::read(stream, &mut piece)? {
                    0 => break,
                    count => bytes.extend(&piece[..count]),
                }
            }
            let whole = bytes.ends_with(b"0\r\n\r\n");
            let _listening = heard.send((whole, bytes.iter().filter(|b| **b == b'x').count()));
            std::io::Write::write_all(stream, b"HTTP/1.1 204 No Content\r\n\r\n")
        });
        let url = format!("{}/", server.address);
        let limits = Limits { http_body_bytes: 300_000, ..limits() };
        let options = options(limits, &[format!("net:POST http://{}", server.address)]);
        assert_eq!(run(&options, &["http-post", &url, "200000"]).printed(), "204\n");
        assert_eq!(sizes.recv().expect("heard"), (true, 200_000));
        let ending = run(&options, &["http-post", &url, "400000"]);
        let told = "refused ErrorCode::HttpRequestBodySize(Some(300000))\n";
        assert_eq!(ending.printed(), told);
        let (whole, bytes) = sizes.recv().expect("heard");
        assert!(!whole && bytes <= 300_000, "{bytes}");
    }

    #[test]
    fn tcp_reaches_what_is_granted_and_nothing_else() {
        let (server, other) = (ponging(), ponging());
        let grants = [format!("tcp:{}", server.address)];
        let talk = |grants: &[String], server: &Server| {
            run(&granted(grants), &["tcp", &server.address.to_string()])
        };
        let refused = "refused: ErrorCode::AccessDenied\n";
        assert_eq!(talk(&grants, &server).printed(), "pong\n");
        assert_eq!(talk(&grants, &other).printed(), refused);
        assert_eq!(talk(&["tcp:*:*".into()], &server).printed(), refused);
        assert_eq!(talk(&[], &server).printed(), refused);
        assert_eq!((server.connections(), other.connections()), (1, 0));
        assert_eq!(run(&granted(&["tcp:*:*".into()]), &["listen"]).printed(), refused);
    }

    #[test]
    fn udp_reaches_what_is_granted_and_nothing_else() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("bound");
        server.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let address = server.local_addr().expect("bound").to_string();
        let answering = std::thread::spawn(move || {
            let mut ping = [0; 4];
            let (_, from) = server.recv_from(&mut ping).expect("a datagram");
            server.send_to(b"pong", from).expect("sent");
            server.set_nonblocking(true).expect("set");
            server.recv_from(&mut ping).is_err()
        });
        let refused = run(&granted(&[]), &["udp", &address]);
        assert_eq!(refused.printed(), "refused: ErrorCode::AccessDenied\n");
        let ending = run(&granted(&[format!("udp:{address}")]), &["udp", &address]);
        assert_eq!(ending.printed(), "pong\n");
        assert!(answering.join().expect("no panic"), "the refused one came too");
    }

    #[test]
    fn names_are_not_looked_up_without_a_grant() {
        let grants = ["tcp:localhost:5432".to_owned()];
        let look_up = |name| run(&granted(&grants), &["look-up", name]).printed().to_owned();
        assert_eq!(look_up("localhost"), "2 addresses\n");
        assert_eq!(look_up("secret.example.org"), "refused: ErrorCode::AccessDenied\n");
        assert_eq!(look_up("a b"), "refused: ErrorCode::InvalidArgument\n");
    }

    #[test]
    fn the_journal_has_a_row_for_each_request_and_connection() {
        let (user, guest) = (User::new(), path());
        let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
        let url = format!("{}/", server.address);
        let grant = format!("http://{}", server.address);
        user.run(&["run", &guest, "--allow-net", &grant, "--", "http", &url]).expect(0);
        let shown = user.run(&["audit", "show", "last", "--output", "json"]).expect(0).stdout;
        let target = format!("GET http://{}", server.address);
        let rows = shown.lines().filter(|line| line.contains(&target));
        assert_eq!(rows.count(), 2, "a verdict and an outcome: {shown}");
        let server = ponging();
        let address = server.address.to_string();
        user.run(&["run", &guest, "--", "tcp", &address]).expect(0);
        let shown = user.run(&["audit", "show", "last", "--denied", "--output", "json"]).expect(0);
        assert_eq!(shown.stdout.lines().count(), 1, "{}", shown.stdout);
        assert!(shown.stdout.contains(&address), "{}", shown.stdout);
        user.run(&["audit", "verify"]).expect(0);
    }
}
