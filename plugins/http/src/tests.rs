//! The tools from outside, with a server that the test plays.

use aos_sdk::http::{Error, Request, Response};
use aos_sdk::testing::{Host, Manifest};
use aos_sdk::{Content, Output, ToolError};
use serde_json::{Value, json};

use crate::plugin;

const PAGE: &str = r#"<h1>Hello</h1><p>from <a href="/x">here</a></p>"#;

fn response(status: u16, header: (&str, &str), body: &[u8]) -> Response {
    let headers = vec![(header.0.to_owned(), header.1.to_owned())];
    Response { status, headers, body: body.to_vec(), truncated: false }
}

fn page(_: &Request) -> Result<Response, Error> {
    Ok(response(200, ("content-type", "text/html; charset=utf-8"), PAGE.as_bytes()))
}

fn call(host: &Host, tool: &str, arguments: Value) -> Output {
    let output = host.call(&plugin(), tool, arguments);
    output.unwrap_or_else(|error| panic!("{tool}: {error}"))
}

fn structured(output: &Output) -> Value {
    let json = output.structured.as_deref().expect("structured output");
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn the_manifest_is_well_formed_and_its_examples_hold() {
    let manifest = Manifest::parse(include_str!("../plugin.toml")).expect("a manifest");
    manifest.check_examples(&Host::new().serve(page), &plugin()).expect("examples hold");
}

#[test]
fn without_a_grant_a_request_is_denied_with_the_flag_that_allows_it() {
    let arguments = json!({ "url": "https://example.org/a?b=c" });
    let error = Host::new().call(&plugin(), "fetch", arguments);
    let Err(ToolError::Denied(denial)) = error else { panic!("{error:?}") };
    assert_eq!(denial.target, "GET https://example.org/a?b=c");
    assert_eq!(denial.remedy, "--allow-net 'GET https://example.org'");
}

#[test]
fn a_page_comes_back_with_status_headers_and_text() {
    let host = Host::new().serve(page);
    let output = call(&host, "fetch", json!({ "url": "https://example.org" }));
    assert_eq!(output.to_text(), format!("200 https://example.org\n{PAGE}"));
    let reply = structured(&output);
    assert_eq!(reply["headers"]["content-type"], "text/html; charset=utf-8");
    assert_eq!((&reply["status"], &reply["text"]), (&json!(200), &json!(PAGE)));
}

#[test]
fn a_body_over_the_limit_is_cut_off_and_said_to_be() {
    let host =
        Host::new().serve(|_| Ok(response(200, ("content-type", "text/plain"), "aäb".as_bytes())));
    let output = call(&host, "fetch", json!({ "url": "https://example.org", "bytes_max": 2 }));
    assert_eq!(output.to_text(), "200 https://example.org [cut off after 2 bytes]\na");
    assert_eq!(structured(&output)["truncated"], true);
}

#[test]
fn bytes_come_back_as_what_they_are() {
    let host =
        Host::new().serve(|_| Ok(response(200, ("content-type", "image/png"), &[0x89, 0xff])));
    let output = call(&host, "fetch", json!({ "url": "https://example.org/a.png" }));
    assert!(matches!(&output.content[1], Content::Image(blob) if blob.data == [0x89, 0xff]));
    let latin = Host::new().serve(|_| Ok(response(200, ("content-type", "text/plain"), &[0xe4])));
    let output = call(&latin, "fetch", json!({ "url": "https://example.org/a.txt" }));
    assert!(output.to_text().ends_with('ä'));
}

#[test]
fn redirects_are_followed_and_secrets_stay_behind() {
    let host = Host::new().serve(|request| match request.url.as_str() {
        "https://a.org/1" => Ok(response(302, ("location", "/2"), b"")),
        "https://a.org/2" => Ok(response(301, ("location", "https://b.org/3"), b"")),
        _ => {
            let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
            Ok(response(200, ("content-type", "text/plain"), names.join(" ").as_bytes()))
        }
    });
    let headers = json!({ "Authorization": "secret", "Accept": "*/*" });
    let arguments = json!({ "url": "https://a.org/1", "headers": headers });
    let output = call(&host, "fetch", arguments);
    assert_eq!(output.to_text(), "200 https://b.org/3\nAccept");
    assert_eq!(structured(&output)["redirects"], json!(["https://a.org/1", "https://a.org/2"]));
    let stay = call(&host, "fetch", json!({ "url": "https://a.org/1", "stay": true }));
    assert_eq!(stay.to_text(), "302 https://a.org/1");
}

#[test]
fn a_ring_of_redirects_ends() {
    let host = Host::new().serve(|_| Ok(response(302, ("location", "/"), b"")));
    let error = host.call(&plugin(), "fetch", json!({ "url": "https://a.org/" }));
    let message = error.expect_err("an error").to_string();
    assert_eq!(message, "https://a.org/ redirected more than 10 times");
}

#[test]
fn a_post_carries_the_calls_id_and_its_body() {
    let host = Host::new().call_id("call-7").serve(|request| {
        let key = request.headers.iter().find(|(name, _)| name == "idempotency-key");
        let key = key.map_or("none", |(_, value)| value);
        let body = String::from_utf8_lossy(&request.body).into_owned();
        Ok(response(201, ("x", "y"), format!("{} {key} {body}", request.method).as_bytes()))
    });
    let url = "https://a.org/items";
    let post = call(&host, "send", json!({ "url": url, "method": "POST", "body": "hi" }));
    assert_eq!(post.to_text(), "201 https://a.org/items\nPOST call-7 hi");
    let delete = call(&host, "send", json!({ "url": url, "method": "DELETE" }));
    assert!(delete.to_text().contains("DELETE none"));
}

#[test]
fn a_server_that_does_not_answer_is_unavailable() {
    let host = Host::new().serve(|_| Err(Error::Unavailable("connection refused".to_owned())));
    let error = host.call(&plugin(), "fetch", json!({ "url": "https://a.org/" }));
    assert_eq!(error, Err(ToolError::Unavailable("no response: connection refused".to_owned())));
}
