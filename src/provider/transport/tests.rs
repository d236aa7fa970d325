use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tower::ServiceExt;

use super::{addresses::is_public, *};
use crate::{
    catalog::{Deployment, Money, Price},
    error::{Error, ErrorKind},
    model::{ModelResponse, chat::Answer},
    provider::{Endpoint, HttpProvider, openai::OpenAi},
    testing::{Reply, Scripted, Upstream, ask, ask_stream},
};

/// A server for one connection: reads the request, answers `response`, keeps the connection open until `then` returns.
fn serve<R: Send + 'static>(
    response: &'static str,
    then: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> (String, mpsc::Receiver<R>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        request(&mut connection).unwrap();
        connection.write_all(response.as_bytes()).unwrap();
        let _ = send.send(then(connection));
    });
    (base, receive)
}

/// The next request as it was sent; `None` when there is none.
fn request(connection: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"}") {
        let read = connection.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(request).ok()
}

fn provider(config: &TransportConfig, base: &str) -> HttpProvider<HyperTransport> {
    HttpProvider::new(
        HyperTransport::new(config).unwrap(),
        Deployment::new("p", "m"),
        Endpoint::new("p", base).unwrap(),
        Arc::new(OpenAi::new()),
    )
}

async fn call(config: &TransportConfig, base: &str) -> Result<ModelResponse, Error> {
    provider(config, base)
        .oneshot(ask_stream("how is it?"))
        .await
}

fn local() -> TransportConfig {
    TransportConfig::default().allow_private()
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

#[tokio::test]
async fn what_is_metered_over_a_socket_is_what_the_provider_bills() {
    let price = Price::per_million(Money::from_nanos(1_000_000), Money::from_nanos(3_000_000));
    let deployment = Deployment::new("p", "m").price(price);
    let scripted = Scripted::at(deployment, [Reply::text("all is well, twice")]);
    let upstream = Upstream::serve([scripted.clone()]).await.unwrap();
    let provider = provider(&local(), &upstream.base_url());
    let mut metered = Money::ZERO;
    let mut texts = Vec::new();
    for request in [ask("how is it?"), ask_stream("how is it?")] {
        let answer = provider.clone().oneshot(request).await.unwrap();
        let answer = answer.body.collect(10_000).await.unwrap();
        metered += answer.end.usage.unwrap().cost(&price);
        texts.push(Answer::parse(&answer.to_whole().unwrap()).unwrap().text);
    }
    assert_eq!(texts, ["all is well, twice"; 2]);
    assert!(metered > Money::ZERO);
    assert_eq!(metered, scripted.bill());
}

#[tokio::test]
async fn r10_a_dropped_body_closes_the_connection_within_200_ms() {
    let (base, closed) = serve(HEAD, |mut connection| {
        let _ = connection.set_read_timeout(Some(Duration::from_secs(5)));
        (connection.read(&mut [0; 1]), Instant::now())
    });
    let mut answer = call(&local(), &base).await.unwrap();
    assert!(answer.body.next().await.unwrap().is_ok());
    drop(answer);
    let dropped = Instant::now();
    let (read, at) = tokio::task::spawn_blocking(move || closed.recv().unwrap())
        .await
        .unwrap();
    // Both an orderly end and a reset are a closed connection; a time-out is not.
    assert!(!matches!(&read, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock));
    assert!(at.saturating_duration_since(dropped) < Duration::from_millis(200));
}

#[tokio::test]
async fn a_broken_connection_is_cut_and_a_refused_one_unavailable() {
    let (base, _) = serve(HEAD, drop);
    let mut body = call(&local(), &base).await.unwrap().body;
    assert!(body.next().await.unwrap().is_ok());
    assert_eq!(
        body.next().await.unwrap().unwrap_err().kind(),
        ErrorKind::Cut
    );

    let (base, _) = serve("", drop);
    let error = call(&local(), &base).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cut);

    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = call(&local(), &format!("http://{free}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// Answers as often as it is asked, and tells of each connection who asked over it.
fn serve_all() -> (String, mpsc::Receiver<(usize, String)>) {
    const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n{\"choices\":[]}";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let (mut connection, tell) = (connection.unwrap(), tell.clone());
            std::thread::spawn(move || {
                while let Some(asked) = request(&mut connection) {
                    let _ = tell.send((number, asked));
                    connection.write_all(WHOLE.as_bytes()).unwrap();
                }
            });
        }
    });
    (base, told)
}

/// Whether two threads with runtimes of their own, asking in turns, ever ask over the same connection.
fn threads_share_connections(config: &TransportConfig, turns: usize) -> bool {
    let (base, told) = serve_all();
    let provider = provider(config, &base);
    let names = ["thread one", "thread two"];
    let runtimes = names.map(|_| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    });
    let mut asked = [HashSet::new(), HashSet::new()];
    (0..turns).any(|_| {
        for (runtime, name) in runtimes.iter().zip(names) {
            // On the runtime's own thread, and not on this one.
            let call = runtime.spawn(provider.clone().oneshot(ask(name)));
            runtime.block_on(call).unwrap().unwrap();
            let (connection, body) = told.recv().unwrap();
            let of = names.iter().position(|name| body.contains(name)).unwrap();
            asked[of].insert(connection);
        }
        !asked[0].is_disjoint(&asked[1])
    })
}

#[test]
fn connections_are_kept_by_thread_where_that_is_wanted() {
    assert!(!threads_share_connections(&local().pool_per_thread(), 20));
    assert!(threads_share_connections(&local(), 1_000));
}

#[tokio::test]
async fn r22_redirects_are_not_followed() {
    let (other, seen) = serve(HEAD, |_| ());
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {other}\r\ncontent-length: 0\r\n\r\n"
    );
    let (base, _) = serve(redirect.leak(), drop);
    let error = call(&local(), &base).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert_eq!(error.get_upstream_status().unwrap(), 307);
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn r22_private_hosts_are_refused_in_every_spelling() {
    let config = TransportConfig::default();
    let transport = HyperTransport::new(&config).unwrap();
    for host in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[fd00::1]",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
    ] {
        let base = format!("http://{host}:9/v1");
        let error = call(&config, &base).await.unwrap_err();
        assert!(
            error.message().contains("no public address"),
            "{host}: {error:?}"
        );
        let Ok(endpoint) = Endpoint::new("p", &base) else {
            continue;
        };
        assert!(transport.check(&endpoint).is_err(), "{host}");
        assert!(
            HyperTransport::new(&local())
                .unwrap()
                .check(&endpoint)
                .is_ok()
        );
    }
}

#[tokio::test]
async fn r22_a_name_that_resolves_to_a_private_address_is_refused() {
    let (base, seen) = serve(HEAD, |_| ());
    let base = base.replace("127.0.0.1", "localhost");
    let error = call(&TransportConfig::default(), &base).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("no public address"), "{error:?}");
    assert!(seen.try_recv().is_err());
    assert!(call(&local(), &base).await.is_ok(), "the name itself works");
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn r22_a_client_for_other_servers_keeps_the_same_rules() {
    let (base, seen) = serve(HEAD, |_| ());
    let url = |text: &str| text.parse::<http::Uri>().unwrap();
    let private = TransportConfig::default().reqwest_client(&url(&base));
    assert_eq!(private.unwrap_err().kind(), ErrorKind::Unavailable);
    let named = base.replace("127.0.0.1", "localhost");
    let client = TransportConfig::default()
        .reqwest_client(&url(&named))
        .unwrap();
    assert!(client.post(&named).body("{}").send().await.is_err());
    assert!(seen.try_recv().is_err());
    let client = local().reqwest_client(&url(&named)).unwrap();
    assert!(
        client.post(&named).body("{}").send().await.is_ok(),
        "the name itself works"
    );
}

#[test]
fn r22_special_addresses_are_not_public() {
    for ip in [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_public(ip.parse::<IpAddr>().unwrap()), "{ip}");
    }
    for ip in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.0.1",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450:4001::1",
    ] {
        assert!(is_public(ip.parse::<IpAddr>().unwrap()), "{ip}");
    }
}
