//! Asks a gRPC server for its health (`grpc.health.v1.Health/Check`), over HTTP/2 without TLS. The message is one field of
//! text, and its answer one number: written and read by hand.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use super::http::PROBE_AGENT;

/// An answer is a few bytes.
const MAX_ANSWER: usize = 4096;
/// `Status::Unimplemented` of gRPC.
const UNIMPLEMENTED: &str = "12";

/// Whether the service is `SERVING`; the sentence of a failure is kubelet's.
pub(super) async fn check(host: &str, port: u16, service: &str) -> Result<(), String> {
    let address = format!("{host}:{port}");
    let failed =
        |why: &dyn std::fmt::Display| format!("error: failed to connect service at {address:?}: {why}");
    let stream = TcpStream::connect((host, port)).await.map_err(|e| failed(&e))?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(|e| failed(&e))?;
    tokio::select! {
        answer = ask(sender, &address, service) => answer,
        ended = connection => match ended {
            Ok(()) => Err(failed(&"connection closed")),
            Err(error) => Err(failed(&error)),
        },
    }
}

async fn ask(sender: SendRequest<Bytes>, address: &str, service: &str) -> Result<(), String> {
    let failed = |why: &dyn std::fmt::Display| format!("error: health rpc probe failed: {why}");
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", PROBE_AGENT)
        .body(())
        .map_err(|e| failed(&e))?;
    let mut sender = sender.ready().await.map_err(|e| failed(&e))?;
    let (response, mut body) = sender.send_request(request, false).map_err(|e| failed(&e))?;
    body.send_data(question(service), true).map_err(|e| failed(&e))?;
    let response = response.await.map_err(|e| failed(&e))?;
    if response.status() != 200 {
        return Err(failed(&format!("unexpected HTTP status {}", response.status())));
    }
    // An answer without a body has its status among the headers.
    refusal(response.headers())?;
    let mut stream = response.into_body();
    let mut answer = BytesMut::new();
    while let Some(part) = stream.data().await {
        let part = part.map_err(|e| failed(&e))?;
        if answer.len() + part.len() > MAX_ANSWER {
            return Err(failed(&"answer is too long"));
        }
        let _ = stream.flow_control().release_capacity(part.len());
        answer.extend_from_slice(&part);
    }
    if let Some(trailers) = stream.trailers().await.map_err(|e| failed(&e))? {
        refusal(&trailers)?;
    }
    match status(&answer) {
        Some(1) => Ok(()),
        Some(other) => {
            let name = match other {
                0 => "UNKNOWN".to_owned(),
                2 => "NOT_SERVING".to_owned(),
                3 => "SERVICE_UNKNOWN".to_owned(),
                other => other.to_string(),
            };
            Err(format!("service unhealthy (responded with {name:?})"))
        }
        None => Err(failed(&"answer is not understood")),
    }
}

/// `HealthCheckRequest { service: 1 }`, behind gRPC's header: not compressed, its length.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&message);
    frame.freeze()
}

fn put_varint(to: &mut BytesMut, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        let more = if value > 0 { 0x80 } else { 0 };
        to.put_u8(low & 0x7f | more);
        if value == 0 {
            return;
        }
    }
}

/// The status of a `HealthCheckResponse { status: 1 }` behind its header; 0 where the field is left out.
fn status(frame: &[u8]) -> Option<u64> {
    let (header, message) = frame.split_at_checked(5)?;
    let size = u32::from_be_bytes(header[1..].try_into().ok()?);
    if header[0] != 0 || usize::try_from(size).ok()? != message.len() {
        return None;
    }
    match message {
        [] => Some(0),
        [0x08, value @ ..] => varint(value),
        _ => None,
    }
}

/// Exactly one number.
fn varint(bytes: &[u8]) -> Option<u64> {
    let last = bytes.iter().position(|b| b & 0x80 == 0)?;
    if last + 1 != bytes.len() || last > 8 {
        return None;
    }
    Some(bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f)))
}

/// What the call itself came to.
fn refusal(headers: &HeaderMap) -> Result<(), String> {
    let text = |name: &str| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let message = text("grpc-message").unwrap_or_default();
    match text("grpc-status").as_deref() {
        None | Some("0") => Ok(()),
        Some(UNIMPLEMENTED) => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        )),
        Some(code) => {
            Err(format!("error: health rpc probe failed: rpc error: code = {code} desc = {message}"))
        }
    }
}

#[cfg(test)]
#[path = "grpc_test.rs"]
mod tests;
