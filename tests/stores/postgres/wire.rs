use std::future::pending;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A way to a database that can be cut without a word, as by a gateway that forgets its connections.
pub(super) struct Wire {
    /// The database at the other end.
    pub(super) url: String,
    cut: watch::Sender<()>,
}

impl Wire {
    pub(super) async fn to(url: &str) -> Self {
        let (server, name) = url.rsplit_once('/').expect("a database");
        let (_, port) = server.rsplit_once(':').expect("a port");
        let port: u16 = port.parse().expect("a port");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let here = listener.local_addr().expect("an address");
        let (cut, cuts) = watch::channel(());
        let pass_on = async move {
            let mut ways = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                let copy = async move {
                    let server = TcpStream::connect(("127.0.0.1", port)).await;
                    let mut server = server.expect("it is there");
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Both ends stay open.
                        _ = cuts.changed() => pending().await,
                    }
                };
                ways.spawn(copy);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        drop(tokio::spawn(pass_on));
        Self {
            url: format!("postgres://rungs@{here}/{name}"),
            cut,
        }
    }

    /// What goes over the connections of now arrives nowhere from now on. New ones are good.
    pub(super) fn cut(&self) {
        self.cut.send_replace(());
    }
}
