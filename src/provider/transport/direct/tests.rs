use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::error::ErrorKind;

/// What a server does with one connection; it hears each request and says whether the connection goes on.
type Serve = fn(&mut TcpStream) -> bool;

/// Serves each connection in a thread; tells which one a request came over, with `true`, and which one has ended, with `false`.
fn server(serve: Serve) -> (String, mpsc::Receiver<(usize, bool)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let (mut connection, tell) = (connection.unwrap(), tell.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = connection.read(&mut buffer) {
                    let _ = tell.send((number, true));
                    if !serve(&mut connection) {
                        break;
                    }
                }
                drop(connection);
                let _ = tell.send((number, false));
            });
        }
    });
    (base, told)
}

fn transport() -> HyperTransport {
    HyperTransport::new(&TransportConfig::default().allow_private()).unwrap()
}

fn get(base: &str) -> Request<Bytes> {
    Request::get(base).body(Bytes::new()).unwrap()
}

async fn ask(transport: &HyperTransport, base: &str) -> Bytes {
    let answer = transport.clone().oneshot(get(base)).await.unwrap();
    answer.into_body().collect().await.unwrap().to_bytes()
}

fn say(connection: &mut TcpStream, text: &str) -> bool {
    connection.write_all(text.as_bytes()).is_ok()
}

fn whole(connection: &mut TcpStream) -> bool {
    say(connection, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
}

#[tokio::test]
async fn a_connection_carries_one_call_after_another() {
    let (base, told) = server(whole);
    let transport = transport();
    for _ in 0..20 {
        assert_eq!(ask(&transport, &base).await, "hi");
        assert_eq!(told.recv().unwrap(), (0, true));
    }
}

#[tokio::test]
async fn calls_at_a_time_have_a_connection_each() {
    let (base, told) = server(whole);
    let transport = transport();
    let calls = (0..8).map(|_| ask(&transport, &base));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer == "hi"));
    let mut used: Vec<_> = (0..8).map(|_| told.recv().unwrap().0).collect();
    used.sort_unstable();
    assert_eq!(used, (0..8).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_not_used() {
    let (base, told) = server(|connection| {
        whole(connection);
        false
    });
    let transport = transport();
    for number in 0..20 {
        assert_eq!(ask(&transport, &base).await, "hi");
        assert_eq!(told.recv().unwrap(), (number, true));
        assert_eq!(told.recv().unwrap(), (number, false));
        // Until the runtime has looked at its sockets.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_host_that_closes_after_each_answer_is_asked_over_new_connections() {
    let (base, told) = server(|connection| {
        say(
            connection,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi",
        )
    });
    let transport = transport();
    for number in 0..3 {
        assert_eq!(ask(&transport, &base).await, "hi");
        assert!(told.iter().any(|seen| seen == (number, true)));
    }
}

#[tokio::test]
async fn a_stream_that_is_left_at_its_end_frees_its_connection() {
    let (base, told) = server(|connection| {
        say(
            connection,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        )
    });
    let transport = transport();
    for _ in 0..3 {
        let answer = transport.clone().oneshot(get(&base)).await.unwrap();
        let mut body = answer.into_body();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "hi");
        drop(body);
        assert_eq!(told.recv().unwrap(), (0, true));
    }
}

#[tokio::test]
async fn a_stream_that_is_left_before_closes_its_connection() {
    let (base, told) = server(|connection| {
        say(
            connection,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        )
    });
    let transport = transport();
    let answer = transport.clone().oneshot(get(&base)).await.unwrap();
    let mut body = answer.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(told.recv().unwrap(), (0, true));
    drop(body);
    assert_eq!(told.recv().unwrap(), (0, false));
}

#[tokio::test]
async fn a_call_that_is_given_up_closes_its_connection() {
    let (base, told) = server(|_| true);
    let call = transport().oneshot(get(&base));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), call)
            .await
            .is_err()
    );
    assert_eq!(told.recv().unwrap(), (0, true));
    assert_eq!(told.recv().unwrap(), (0, false));
}

/// More than a task may read in one turn, so that the body has to be read on in the next.
#[tokio::test]
async fn a_large_answer_is_read_to_its_end() {
    const SIZE: usize = 64 << 20;
    let (base, _) = server(|connection| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        say(connection, &head) && connection.write_all(&vec![7; SIZE]).is_ok()
    });
    let answer = ask(&transport(), &base).await;
    assert_eq!(answer.len(), SIZE);
    assert!(answer.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn an_answer_cut_short_is_an_error() {
    let (base, _) = server(|connection| {
        say(
            connection,
            "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi",
        );
        false
    });
    let answer = transport().oneshot(get(&base)).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
}

/// What is said without being asked must not answer the next call.
#[tokio::test]
async fn a_connection_that_is_not_clean_after_its_answer_is_not_used() {
    let unclean: [Serve; 5] = [
        |connection| {
            say(
                connection,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            )
        },
        |connection| {
            say(
                connection,
                "HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nevil",
            )
        },
        |connection| {
            say(
                connection,
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: evil\r\n\r\n",
            )
        },
        |connection| say(connection, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
        |connection| {
            say(
                connection,
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi\r\n",
            )
        },
    ];
    for (kind, serve) in unclean.into_iter().enumerate() {
        let (base, told) = server(serve);
        let transport = transport();
        for number in 0..3 {
            let answer = ask(&transport, &base).await;
            assert!(answer.is_empty() || answer == "hi", "{kind}");
            let heard = told.iter().find(|(_, open)| *open);
            assert_eq!(heard, Some((number, true)), "{kind}");
        }
    }
}

/// A host may answer before it has heard all, such as that it will not hear so much. The rest is not sent then.
#[tokio::test]
async fn a_connection_whose_request_was_not_sent_whole_is_not_used() {
    let (base, told) = server(|connection| {
        whole(connection);
        // What is not read now is read as the next request.
        while let Ok(1..) = connection.read(&mut [0; 1]) {}
        false
    });
    let transport = transport();
    let large = Request::post(&base).body(vec![7; 32 << 20].into()).unwrap();
    let answer = transport.clone().oneshot(large).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answer, "hi");
    assert_eq!(told.recv().unwrap(), (0, true));
    assert_eq!(ask(&transport, &base).await, "hi");
    let next = told.iter().find(|(_, open)| *open);
    assert_eq!(next, Some((1, true)));
}

#[tokio::test]
async fn what_comes_before_the_answer_is_passed_over() {
    let (base, told) = server(|connection| {
        say(connection, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n") && whole(connection)
    });
    let transport = transport();
    for _ in 0..3 {
        assert_eq!(ask(&transport, &base).await, "hi");
        assert_eq!(told.recv().unwrap(), (0, true));
    }
}

/// What was certainly not sent is not said to be cut: that would be charged.
#[tokio::test]
async fn a_host_that_hangs_up_before_it_hears_anything_was_not_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let call = transport().oneshot(get(&base));
    let hang_up = async { drop(listener.accept().unwrap()) };
    // The end is there before the client looks at its new connection.
    let (answer, ()) = tokio::join!(call, hang_up);
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn no_more_connections_wait_than_may() {
    let (base, told) = server(whole);
    let config = TransportConfig::default().allow_private().max_idle(1);
    let transport = HyperTransport::new(&config).unwrap();
    let calls = (0..2).map(|_| ask(&transport, &base));
    futures_util::future::join_all(calls).await;
    let ended = told.iter().find(|(_, open)| !open);
    assert!(ended.is_some());
    assert_eq!(ask(&transport, &base).await, "hi");
    let (number, _) = told.iter().next().unwrap();
    assert!(number < 2, "the other one was kept");
}

#[tokio::test]
async fn connections_that_wait_are_closed_in_time() {
    let (base, told) = server(whole);
    let transport = transport();
    for number in 0..2 {
        assert_eq!(ask(&transport, &base).await, "hi");
        assert_eq!(told.recv().unwrap(), (number, true));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(told.try_recv().is_err());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(told.recv().unwrap(), (number, false));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_connection_is_free_at_the_end_of_its_answer() {
    let (base, told) = server(whole);
    let transport = transport();
    let answer = transport.clone().oneshot(get(&base)).await.unwrap();
    let mut body = answer.into_body();
    while body.frame().await.is_some() {}
    assert_eq!(ask(&transport, &base).await, "hi");
    drop(body);
    let used: Vec<_> = told.iter().take(2).collect();
    assert_eq!(used, [(0, true), (0, true)]);
}

#[tokio::test]
async fn a_request_names_its_host_and_its_path() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let heard = std::thread::spawn(move || {
        let mut connection = listener.accept().unwrap().0;
        let mut buffer = [0; 4096];
        let read = connection.read(&mut buffer).unwrap();
        whole(&mut connection);
        String::from_utf8(buffer[..read].to_vec()).unwrap()
    });
    ask(&transport(), &format!("http://{host}/v1?a=b")).await;
    let heard = heard.join().unwrap();
    assert!(heard.starts_with("GET /v1?a=b HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains(&format!("host: {host}\r\n")), "{heard}");
}

/// A task may do so much in one turn, and a call goes on in the next one wherever that limit meets it: also where its connection
/// has more than the call has taken, and waits for nothing from the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_after_the_turn_of_its_task() {
    let (base, _) = server(|connection| {
        say(
            connection,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n4\r\n you\r\n0\r\n\r\n",
        )
    });
    let transport = transport();
    for before in 0..128 {
        let mut call = std::pin::pin!(ask(&transport, &base));
        let call = std::future::poll_fn(|cx| {
            for _ in 0..before {
                let _ = std::pin::pin!(tokio::task::consume_budget()).poll(cx);
            }
            call.as_mut().poll(cx)
        });
        tokio::select! {
            // First: it would wake a call that hangs.
            biased;
            () = tokio::time::sleep(Duration::from_secs(5)) => panic!("no answer after {before}"),
            answer = call => assert_eq!(answer, "hi you"),
        }
    }
}
