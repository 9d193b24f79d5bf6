//! Requests, one after another and at once.

use wasip3::http::client::send;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::wit_bindgen::StreamReader;
use wasip3::{wit_bindgen, wit_future, wit_stream};

use crate::output::say;

/// Each request is `AUTHORITY/PATH`, by GET without TLS.
pub async fn requests(urls: &[&str]) {
    for url in urls {
        match get(url).await {
            Ok(said) => say(&format!("{url}: {said}")).await,
            Err(error) => say(&format!("{url}: refused {error:?}")).await,
        }
    }
}

fn request(url: &str, body: Option<StreamReader<u8>>) -> Result<Request, ()> {
    let (authority, path) = url.split_once('/').unwrap_or((url, ""));
    let (_no_trailers, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), body, trailers, None);
    request.set_scheme(Some(&Scheme::Http))?;
    request.set_authority(Some(authority))?;
    request.set_path_with_query(Some(&format!("/{path}")))?;
    Ok(request)
}

async fn get(url: &str) -> Result<String, ErrorCode> {
    let Ok(request) = request(url, None) else { return Ok("no authority".to_owned()) };
    let response = send(request).await?;
    let location = response.get_headers().get("location");
    let location = location.first().map(|value| String::from_utf8_lossy(value).into_owned());
    let status = response.get_status_code();
    Ok(format!("{status} {} {}", location.unwrap_or_default(), body(response).await))
}

/// How much came, and how it ended.
async fn body(response: Response) -> String {
    let (_unused, outcome) = wit_future::new(|| Ok(()));
    let (bytes, trailers) = Response::consume_body(response, outcome);
    let count = bytes.collect().await.len();
    match trailers.await {
        Ok(_) => format!("{count} bytes"),
        Err(error) => format!("broken: {error:?}"),
    }
}

/// Many requests under way together.
pub async fn at_once(url: &str, count: usize) {
    let sending: Vec<_> = (0..count)
        .map(|_| {
            let request = request(url, None).expect("a request");
            wit_bindgen::spawn_local(async move { send(request).await.map(|_| ()) })
        })
        .collect();
    let mut refused = 0;
    for sent in sending {
        match sent.await.expect("not dropped") {
            Ok(()) => {}
            Err(ErrorCode::ConnectionLimitReached) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    say(&format!("{refused} of {count} refused")).await;
}

/// One request with a body of so many bytes, by a stream.
pub async fn post(url: &str, bytes: usize) {
    let (mut sending, receiving) = wit_stream::new();
    let request = request(url, Some(receiving)).expect("a request");
    request.set_method(&Method::Post).expect("a method");
    wit_bindgen::spawn_local(async move {
        // The host may have heard enough.
        let _left = sending.write_all(vec![b'x'; bytes]).await;
    });
    match send(request).await {
        Ok(response) => say(&format!("{}", response.get_status_code())).await,
        Err(error) => say(&format!("refused {error:?}")).await,
    }
}

/// Header fields until the host says no.
pub async fn headers() {
    let fields = Fields::new();
    for count in 0..1_000_000 {
        if let Err(error) = fields.append(&format!("x-{count}"), &[b'x'; 1000]) {
            return say(&format!("refused after {count}: {error:?}")).await;
        }
    }
    say("a million fields").await;
}
