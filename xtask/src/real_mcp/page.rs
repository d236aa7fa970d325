//! A page on this computer, for a browser to use.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

/// What its heading says first,
pub(super) const BEFORE: &str = "At the foot";

/// and once its button was pressed.
pub(super) const AFTER: &str = "One rung up";

/// Serves the page until this program ends; its address.
pub(super) fn serve() -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    let address = listener.local_addr().context("read the free port")?;
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || answer(socket));
        }
    });
    Ok(format!("http://{address}/"))
}

fn answer(mut socket: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 4096];
    if socket.read(&mut request)? > 0 {
        let page = format!(
            "<!doctype html><title>Rungs</title><h1>{BEFORE}</h1>\
             <button onclick=\"document.querySelector('h1').textContent = '{AFTER}'\">Climb</button>"
        );
        let length = page.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(format!("{head}{page}").as_bytes())?;
    }
    Ok(())
}
