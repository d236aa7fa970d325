//! Bodies that are too large, or too slow.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    input::{gateway, nothing_happened},
    support::*,
};

/// Sends bytes over a bare connection until the other side has answered and closed; the answer.
async fn over_the_wire(gateway: &Gateway, head: &str, chunk: &[u8], pause: Duration) -> String {
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = socket.split();
    let writing = async {
        while !chunk.is_empty() && writer.write_all(chunk).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut answer = Vec::new();
        // A reset after the answer is the server's way to say that it reads no more.
        while !answer.ends_with(b"}}")
            && reader
                .read_buf(&mut answer)
                .await
                .is_ok_and(|read| read > 0)
        {}
        String::from_utf8(answer).unwrap()
    };
    tokio::select! {
        answer = tokio::time::timeout(PATIENCE, reading) => answer.expect("no answer"),
        () = writing => unreachable!(),
    }
}

#[tokio::test]
async fn bodies_without_measure_are_not_read() {
    let (provider_model, _upstream, gateway) = gateway().await;
    let token = std::fs::read_to_string(gateway.folder.join("rungs.db.mcp-token")).unwrap();
    let token = token.trim();
    for path in [
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/route",
        "/v1/route/explain",
        "/v1/code-agent",
        "/mcp",
    ] {
        let head = |more: &str| {
            format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n{more}\r\n\r\n"
            )
        };
        // Announced: refused at once, without a byte of it.
        let start = Instant::now();
        let answer = over_the_wire(
            &gateway,
            &head("content-length: 104857600"),
            b"",
            Duration::ZERO,
        )
        .await;
        assert!(
            answer.starts_with("HTTP/1.1 413 ") && answer.contains("request_too_large"),
            "{path}: {answer}"
        );
        assert!(
            start.elapsed() < Duration::from_millis(400),
            "{:?}",
            start.elapsed()
        );
        // Whoever asks first is not told to go on.
        let answer = over_the_wire(
            &gateway,
            &head("content-length: 104857600\r\nexpect: 100-continue"),
            b"",
            Duration::ZERO,
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        // Without end: refused at the limit.
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let answer = over_the_wire(
            &gateway,
            &head("transfer-encoding: chunked"),
            chunk.as_bytes(),
            Duration::ZERO,
        )
        .await;
        assert!(
            answer.starts_with("HTTP/1.1 413 ") && answer.contains("1000000 bytes"),
            "{path}: {answer}"
        );
        // Without haste: given up.
        let start = Instant::now();
        let answer = over_the_wire(
            &gateway,
            &head("transfer-encoding: chunked"),
            b"1\r\n \r\n",
            Duration::from_millis(50),
        )
        .await;
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"),
            "{path}: {answer}"
        );
        assert!(
            (400..2000).contains(&start.elapsed().as_millis()),
            "{:?}",
            start.elapsed()
        );
    }
    // A head without end is no request; the connection is closed.
    let mut socket = TcpStream::connect(gateway.address()).await.unwrap();
    socket
        .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: local")
        .await
        .unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest))
        .await
        .expect("it waits for ever")
        .ok();
    nothing_happened(&provider_model, &gateway).await;
}
