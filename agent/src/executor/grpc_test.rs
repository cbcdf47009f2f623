use std::time::Duration;

use tokio::net::TcpListener;

use super::*;

/// A server that answers one call: with this status code of HTTP, this message, this `grpc-status`.
async fn check_answer(service: &str, answer: &[u8], code: &'static str, expect: Result<(), &str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Bytes::copy_from_slice(answer);
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let call = async {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let mut body = request.into_body();
            let mut question = Vec::new();
            while let Some(part) = body.data().await {
                question.extend_from_slice(&part.unwrap());
            }
            let response =
                http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut send = respond.send_response(response, false).unwrap();
            send.send_data(answer, false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static(code));
            send.send_trailers(trailers).unwrap();
            question
        };
        let drive = async { while connection.accept().await.is_some() {} };
        let (question, ()) = tokio::join!(call, drive);
        question
    });
    let got = tokio::time::timeout(Duration::from_secs(20), check("127.0.0.1", port, service)).await.unwrap();
    assert_eq!(got, expect.map_err(str::to_owned));
    assert_eq!(server.await.unwrap(), question(service));
}

#[tokio::test]
async fn answers() {
    check_answer("", &[0, 0, 0, 0, 2, 8, 1], "0", Ok(())).await;
    check_answer("my.service", &[0, 0, 0, 0, 2, 8, 1], "0", Ok(())).await;
    let unwell = Err("service unhealthy (responded with \"NOT_SERVING\")");
    check_answer(&"s".repeat(300), &[0, 0, 0, 0, 2, 8, 2], "0", unwell).await;
    check_answer("", &[0, 0, 0, 0, 0], "0", Err("service unhealthy (responded with \"UNKNOWN\")")).await;
    let unknown =
        Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ");
    check_answer("", &[], "12", unknown).await;
    check_answer(
        "",
        &[0, 0, 0, 0, 9, 8, 1],
        "0",
        Err("error: health rpc probe failed: answer is not understood"),
    )
    .await;
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let why = check("127.0.0.1", port, "").await.unwrap_err();
    assert!(why.starts_with("error: failed to connect service at \"127.0.0.1:"), "{why}");
}

#[test]
fn numbers() {
    for (bytes, value) in [
        (&[1_u8][..], Some(1)),
        (&[0x96, 1], Some(150)),
        (&[], None),
        (&[0x80], None),
        (&[1, 1], None),
        (&[0xff; 20], None),
    ] {
        assert_eq!(varint(bytes), value, "{bytes:?}");
    }
    let long = question(&"s".repeat(300));
    assert_eq!(long[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2]);
}
