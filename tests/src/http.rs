//! One request to an admin page on a loopback port. No client of any kind: a test should see what the server says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const LIMIT: Duration = Duration::from_secs(2);

/// The body of a page.
///
/// # Errors
/// It does not answer, or not with success.
pub fn get(port: u16, path: &str) -> Result<String> {
    ask(port, &format!("GET {path}"), "")
}

/// Puts a text; gives the answer's body.
///
/// # Errors
/// It does not answer, or not with success.
pub fn put(port: u16, path: &str, body: &str) -> Result<String> {
    ask(port, &format!("PUT {path}"), body)
}

fn ask(port: u16, what: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let length = body.len();
    write!(
        stream,
        "{what} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    let line = head.lines().next().unwrap_or_default();
    ensure!(line.contains(" 200 "), "{what}: {line}: {body}");
    Ok(body.to_owned())
}
