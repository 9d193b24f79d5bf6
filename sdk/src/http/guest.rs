//! One request through `wasi:http` 0.2.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method,
    OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use super::{Error, Request, Response, Url};
use crate::Limit;

pub(super) fn send(request: &Request, url: &Url) -> Result<Response, Error> {
    let outgoing = outgoing(request, url)?;
    let body = outgoing.body().map_err(|()| invalid("it has no body to write to"))?;
    let pending = outgoing_handler::handle(outgoing, Some(options(request)))
        .map_err(|code| error(request, &code))?;
    // A server may answer before it has read all; else the response's error says more.
    write(body, &request.body).ok();
    let response = wait(&pending).map_err(|code| error(request, &code))?;
    let status = response.status();
    let headers = headers(&response);
    let (body, truncated) = read(request, response)?;
    Ok(Response { status, headers, body, truncated })
}

fn outgoing(request: &Request, url: &Url) -> Result<OutgoingRequest, Error> {
    let fields = Fields::new();
    for (name, value) in &request.headers {
        fields
            .append(name, value.as_bytes())
            .map_err(|cause| invalid(&format!("header {name}: {cause}")))?;
    }
    let outgoing = OutgoingRequest::new(fields);
    outgoing
        .set_method(&method(&request.method))
        .map_err(|()| invalid(&format!("{} is no method", request.method)))?;
    let scheme = if url.scheme == "https" { Scheme::Https } else { Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| invalid("the scheme is wrong"))?;
    outgoing
        .set_authority(Some(&url.authority))
        .map_err(|()| invalid(&format!("{} is no host", url.authority)))?;
    outgoing
        .set_path_with_query(Some(&url.path))
        .map_err(|()| invalid(&format!("{} is no path", url.path)))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(request: &Request) -> RequestOptions {
    let options = RequestOptions::new();
    let nanoseconds =
        request.timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    // A host that does not know one of these keeps its own limit, which holds in any case.
    options.set_connect_timeout(nanoseconds).ok();
    options.set_first_byte_timeout(nanoseconds).ok();
    options.set_between_bytes_timeout(nanoseconds).ok();
    options
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    /// What `blocking-write-and-flush` takes at once.
    const CHUNK_BYTES: usize = 4096;
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| invalid("its body cannot be written"))?;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            stream.blocking_write_and_flush(chunk).map_err(|error| broken(&error))?;
        }
    }
    OutgoingBody::finish(body, None).map_err(|code| Error::Unavailable(code.to_string()))
}

fn wait(pending: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    loop {
        match pending.get() {
            Some(Ok(response)) => return response,
            Some(Err(())) => return Err(ErrorCode::InternalError(None)),
            None => pending.subscribe().block(),
        }
    }
}

fn headers(response: &IncomingResponse) -> Vec<(String, String)> {
    let entries = response.headers().entries().into_iter();
    entries
        .map(|(name, value)| {
            (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned())
        })
        .collect()
}

/// Up to the request's limit, and whether there was more.
fn read(request: &Request, response: IncomingResponse) -> Result<(Vec<u8>, bool), Error> {
    /// What one read asks for.
    const CHUNK_BYTES: u64 = 64 * 1024;
    let body: IncomingBody =
        response.consume().map_err(|()| Error::Unavailable("it has no body".to_owned()))?;
    let stream =
        body.stream().map_err(|()| Error::Unavailable("its body cannot be read".to_owned()))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => return Ok((bytes, false)),
            Err(error) => return Err(broken(&error)),
        }
        if bytes.len() as u64 > request.body_bytes_max {
            bytes.truncate(usize::try_from(request.body_bytes_max).unwrap_or(usize::MAX));
            return Ok((bytes, true));
        }
    }
}

fn error(request: &Request, code: &ErrorCode) -> Error {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => {
            Error::Denied(request.denial())
        }
        ErrorCode::HttpRequestUriInvalid => invalid("its URL is not valid"),
        ErrorCode::HttpRequestMethodInvalid => invalid("its method is not valid"),
        ErrorCode::HttpRequestHeaderSize(field) => {
            too_large("request header", field.as_ref().and_then(|field| field.field_size))
        }
        ErrorCode::HttpRequestHeaderSectionSize(size) => too_large("request headers", *size),
        ErrorCode::HttpResponseHeaderSize(field) => too_large("response header", field.field_size),
        ErrorCode::HttpResponseHeaderSectionSize(size) => too_large("response headers", *size),
        other => Error::Unavailable(reason(other)),
    }
}

/// The codes that callers meet, in words; the others by their name.
fn reason(code: &ErrorCode) -> String {
    let words = match code {
        ErrorCode::DnsTimeout | ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            "the host's name leads to no address"
        }
        ErrorCode::ConnectionRefused => "the connection was refused",
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            "the address cannot be reached"
        }
        ErrorCode::ConnectionTerminated => "the connection was closed",
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => "it took too long",
        ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => "the server could not prove who it is (TLS)",
        ErrorCode::HttpProtocolError => "the server does not speak HTTP",
        ErrorCode::InternalError(Some(message)) => message,
        other => return named(&format!("{other:?}")),
    };
    words.to_owned()
}

/// A code's own name in small words: `ErrorCode::LoopDetected` is "loop detected".
fn named(code: &str) -> String {
    let name = code.trim_start_matches("ErrorCode::");
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn too_large(what: &str, value: Option<u32>) -> Error {
    Error::TooLarge(Limit {
        name: what.to_owned(),
        value: value.unwrap_or_default().into(),
        unit: "bytes".to_owned(),
        opens_in_ms: None,
        remedy: "send or ask for fewer headers".to_owned(),
    })
}

fn broken(error: &StreamError) -> Error {
    let reason = match error {
        StreamError::Closed => "the connection was closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    };
    Error::Unavailable(reason)
}

fn invalid(message: &str) -> Error {
    Error::InvalidRequest(message.to_owned())
}
