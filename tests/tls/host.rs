//! Hosts that a client of this test, in a process of its own, may trust.

use std::{
    convert::Infallible,
    ops::Range,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response, Version};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Barrier, Notify},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};

/// Tells the client where the host is, and what is spoken there.
pub(crate) const HOST: &str = "RUNGS_TEST_HOST";

/// A host on a name of this machine: its port, the certificate of its issuer in a file, and how many connections it has had.
pub(crate) struct Host {
    port: u16,
    trusted: tempfile::NamedTempFile,
    connections: Arc<AtomicUsize>,
}

impl Host {
    /// One that offers `protocols` and has each connection, with its number, served by `serve`.
    pub(crate) async fn start<S, F>(protocols: &[&str], serve: S) -> Self
    where
        S: Fn(TlsStream<TcpStream>, usize) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (acceptor, trusted) = acceptor(protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&connections), Arc::new(serve));
        tokio::runtime::Handle::current().spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (accepting, serve) = (acceptor.accept(socket), Arc::clone(&serve));
                open.spawn(async move { serve(accepting.await.unwrap(), number).await });
            }
        });
        Self {
            port,
            trusted,
            connections,
        }
    }

    /// How many connections the client of that name took.
    pub(crate) async fn serves(self, client: &str, spoken: Version) -> usize {
        let url = format!("https://localhost:{}/v1", self.port);
        let client = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", client, "--ignored", "--nocapture"])
            .env("SSL_CERT_FILE", self.trusted.path())
            .env(HOST, format!("{spoken:?} {url}"))
            .output();
        let client = tokio::task::spawn_blocking(|| client)
            .await
            .unwrap()
            .unwrap();
        assert!(
            client.status.success(),
            "{}{}",
            String::from_utf8_lossy(&client.stdout),
            String::from_utf8_lossy(&client.stderr)
        );
        self.connections.load(Ordering::SeqCst)
    }
}

fn acceptor(protocols: &[&str]) -> (TlsAcceptor, tempfile::NamedTempFile) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), trusted)
}

/// Answers each request with the version it was asked in, so many at a time: heads, or bodies, of some paths when there are enough
/// of them.
pub(crate) async fn answer(socket: TlsStream<TcpStream>, at_a_time: u32, together: Arc<Barrier>) {
    let leave = Arc::new(Notify::new());
    let service = hyper::service::service_fn(|request: Request<_>| {
        let path = request.uri().path();
        if path == "/last" {
            leave.notify_one();
        }
        let long = path == "/long";
        let all = |at: &str| (path == at).then(|| Arc::clone(&together));
        let (head, body) = (all("/heads"), all("/bodies"));
        async move {
            if let Some(all) = head {
                all.wait().await;
            }
            let body = stream::once(async move {
                if let Some(all) = body {
                    all.wait().await;
                }
                let version = format!("{:?}", request.version());
                Ok::<_, Infallible>(Frame::data(Bytes::from(version)))
            });
            let more =
                stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10]))));
            let body = body.chain(more.take(if long { 64 } else { 0 }));
            Ok::<_, Infallible>(Response::new(StreamBody::new(body)))
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().max_concurrent_streams(at_a_time);
    let mut serving = std::pin::pin!(server.serve_connection(TokioIo::new(socket), service));
    tokio::select! {
        _ = &mut serving => return,
        () = leave.notified() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

/// What a host of HTTP/2 says instead of an answer, by the number of the request on its connection.
pub(crate) type Refusal = fn(u32) -> Vec<u8>;

/// `REFUSED_STREAM` for this request.
pub(crate) fn refuse(stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 4, 3, 0];
    frame.extend(stream.to_be_bytes());
    frame.extend(7u32.to_be_bytes());
    frame
}

/// `GOAWAY`, where the request before was the last one.
pub(crate) fn leave(stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend(stream.saturating_sub(2).to_be_bytes());
    frame.extend(0u32.to_be_bytes());
    frame
}

/// `GOAWAY`, where this request is the last one, and no answer to it.
pub(crate) fn break_off(stream: u32) -> Vec<u8> {
    leave(stream + 2)
}

/// Speaks HTTP/2 itself: answers all requests of a connection but those with these numbers.
pub(crate) async fn refusing(
    mut socket: TlsStream<TcpStream>,
    refused: Range<u32>,
    refusal: Refusal,
) {
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).await.unwrap();
    socket
        .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let mut head = [0; 9];
    while socket.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut rest = vec![0; length as usize];
        socket.read_exact(&mut rest).await.unwrap();
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4]) {
            // SETTINGS are acknowledged.
            (4, 0) => socket
                .write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0])
                .await
                .unwrap(),
            // Streams of clients have odd numbers.
            (1, _) if refused.contains(&(stream / 2)) => {
                let said = refusal(stream);
                socket.write_all(&said).await.unwrap();
                if said == break_off(stream) {
                    return;
                }
            }
            (1, _) => {
                // 200, and that is all.
                let mut frame = vec![0, 0, 1, 1, 5];
                frame.extend(stream.to_be_bytes());
                frame.push(0x88);
                socket.write_all(&frame).await.unwrap();
            }
            _ => {}
        }
    }
}
