//! Hosts behind TLS, and the protocol that they choose.
#![cfg(feature = "hyper")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code too")]

use std::{
    convert::Infallible,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rungs::provider::{HyperTransport, TransportConfig};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tower::ServiceExt;

/// Tells the client of this file, which is a process of its own, whom it may trust: that is read from the environment.
const HOST: &str = "RUNGS_TEST_HOST";

/// A host on a name of this machine: its port, the certificate of its issuer in a file, and how many connections it has had.
async fn host(protocols: &[&str]) -> (u16, tempfile::NamedTempFile, Arc<AtomicUsize>) {
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
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::runtime::Handle::current().spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            open.spawn(async move {
                let socket = TokioIo::new(acceptor.accept(socket).await.unwrap());
                let leave = Arc::new(Notify::new());
                let service = hyper::service::service_fn(|request: Request<_>| {
                    if request.uri().path() == "/last" {
                        leave.notify_one();
                    }
                    async move {
                        let version = format!("{:?}", request.version());
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(version))))
                    }
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let mut serving = std::pin::pin!(server.serve_connection(socket, service));
                tokio::select! {
                    _ = &mut serving => return,
                    () = leave.notified() => serving.as_mut().graceful_shutdown(),
                }
                let _ = serving.await;
            });
        }
    });
    (port, trusted, connections)
}

/// Runs [`client`] against a host that offers `protocols`; how many connections it took.
async fn connections(protocols: &[&str], spoken: Version) -> usize {
    run("client", protocols, spoken).await
}

/// Runs the client of that name.
async fn run(client: &str, protocols: &[&str], spoken: Version) -> usize {
    let (port, trusted, connections) = host(protocols).await;
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", client, "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", trusted.path())
        .env(HOST, format!("{spoken:?} https://localhost:{port}/v1"))
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
    connections.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_offers_http2_has_one_connection_for_all_calls() {
    assert_eq!(connections(&["h2", "http/1.1"], Version::HTTP_2).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_has_as_many_as_there_are_calls_at_a_time() {
    assert_eq!(connections(&["http/1.1"], Version::HTTP_11).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_its_host_leaves_is_not_used() {
    let http2 = run("left_client", &["h2"], Version::HTTP_2).await;
    assert_eq!(http2, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_nobody_needed_for_long_is_not_used() {
    let http2 = run("patient_client", &["h2"], Version::HTTP_2).await;
    assert_eq!(http2, 2);
    let http1 = run("patient_client", &["http/1.1"], Version::HTTP_11).await;
    assert_eq!(http1, 2);
}

/// One call, then twice eight at a time.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn client() {
    let transport = HyperTransport::new(&TransportConfig::default().allow_private()).unwrap();
    for at_a_time in [1, 8, 8] {
        ask(&transport, at_a_time).await;
    }
}

/// One call soon after the first, and one much later.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn patient_client() {
    let transport = HyperTransport::new(&TransportConfig::default().allow_private()).unwrap();
    for after in [0, 60, 60, 120] {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(after)).await;
        tokio::time::resume();
        ask(&transport, 1).await;
    }
}

/// Each call over a connection that ends with it.
#[tokio::test]
#[ignore = "run by the others, with the environment that it needs"]
async fn left_client() {
    let transport = HyperTransport::new(&TransportConfig::default().allow_private()).unwrap();
    let host = std::env::var(HOST).unwrap();
    let url = host.split_once(' ').unwrap().1.replace("/v1", "/last");
    for _ in 0..3 {
        let request = Request::get(&url).body(Bytes::new()).unwrap();
        let answer = transport.clone().oneshot(request).await.unwrap();
        answer.into_body().collect().await.unwrap();
        // Until the end of the connection has been read.
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
    }
}

/// So many calls at a time.
async fn ask(transport: &HyperTransport, at_a_time: usize) {
    let host = std::env::var(HOST).unwrap();
    let (spoken, url) = host.split_once(' ').unwrap();
    let calls = (0..at_a_time).map(|_| {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        let transport = transport.clone();
        async { transport.oneshot(request).await }
    });
    for answer in join_all(calls).await {
        let body = answer.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), spoken);
    }
}
