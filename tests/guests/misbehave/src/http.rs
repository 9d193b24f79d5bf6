//! Requests to where the host ought not to go, and answers that ought to end.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, OutgoingRequest, Scheme,
};
use wasip2::io::streams::StreamError;

/// Each request is `AUTHORITY/PATH`, by GET without TLS.
pub fn requests(requests: &[&str]) {
    for url in requests {
        match get(url) {
            Ok(said) => println!("{url}: {said}"),
            Err(error) => println!("{url}: refused {error:?}"),
        }
    }
}

/// Sends a request, waits until the server has it, and lets go of it.
pub fn let_go(url: &str) {
    let request = to(url).expect("an authority");
    let coming = handle(request, None).expect("sent");
    // Nothing is polled before somebody waits.
    let timer = wasip2::clocks::monotonic_clock::subscribe_duration(500_000_000);
    wasip2::io::poll::poll(&[&coming.subscribe(), &timer]);
    drop(coming);
    println!("{url}: let go");
}

fn to(url: &str) -> Option<OutgoingRequest> {
    let (authority, path) = url.split_once('/').unwrap_or((url, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(&format!("/{path}"))).expect("a path");
    Some(request)
}

fn get(url: &str) -> Result<String, ErrorCode> {
    let Some(request) = to(url) else { return Ok("no authority".to_owned()) };
    let coming = handle(request, None)?;
    coming.subscribe().block();
    let response = coming.get().expect("ready").expect("once")?;
    let location = response.headers().get("location");
    let location = location.first().map(|value| String::from_utf8_lossy(value).into_owned());
    let status = response.status();
    Ok(format!("{status} {} {}", location.unwrap_or_default(), body(&response)))
}

/// How much came, and how it ended.
fn body(response: &IncomingResponse) -> String {
    let body: IncomingBody = response.consume().expect("a body");
    let stream = body.stream().expect("a stream");
    let mut bytes = 0;
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(piece) => bytes += piece.len(),
            Err(StreamError::Closed) => return format!("{bytes} bytes"),
            Err(StreamError::LastOperationFailed(error)) => {
                return format!("broken: {}", error.to_debug_string());
            }
        }
    }
}
