//! A TCP proxy that delays, cuts, and loses a chosen request or its reply.
//!
//! It understands just enough of the Postgres protocol to tell one statement from another, because clients send a
//! prepared statement's text once and its name from then on; for any other protocol it looks for bytes.

mod statements;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;

use statements::Statements;

const BUFFER: usize = 64 * 1024;

/// What is lost when a watched statement comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The connection breaks before the statement reaches the server: it has no effect.
    Request,
    /// The server carries the statement out, and the connection breaks before its answer arrives.
    Reply,
}

/// What travels through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Statements are recognised by their text, also when they run by name.
    Postgres,
    /// Requests are recognised by their bytes.
    Bytes,
}

#[derive(Debug, Default)]
struct State {
    delay: Duration,
    refusing: bool,
    silent: bool,
    closing: bool,
    watch: Option<Watch>,
    connections: Vec<TcpStream>,
}

#[derive(Debug, Clone)]
struct Watch {
    pattern: String,
    loss: Loss,
    times: u32,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    protocol: Protocol,
    state: Mutex<State>,
    lost: AtomicU32,
}

/// A proxy on a port of its own in front of a loopback port.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts passing everything on to `upstream`.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(upstream: u16, protocol: Protocol) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream,
            protocol,
            state: Mutex::default(),
            lost: AtomicU32::new(0),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept_all(&listener, &accepting));
        Ok(Self { port, shared })
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays every piece of data in both directions.
    pub fn delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// Breaks all connections; new ones work.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// Breaks all connections and every new one, until `pass`.
    pub fn refuse(&self) {
        self.shared.state().refusing = true;
        self.shared.cut();
    }

    /// Swallows every reply from now on while connections stay open, until `pass`, which breaks them.
    pub fn silence(&self) {
        self.shared.state().silent = true;
    }

    /// Ends delay, refusal, silence and any watch.
    pub fn pass(&self) {
        let was_silent = {
            let mut state = self.shared.state();
            (state.delay, state.refusing, state.watch) = (Duration::ZERO, false, None);
            std::mem::take(&mut state.silent)
        };
        if was_silent {
            // A reply was swallowed in the middle: the connections are of no use to anybody.
            self.shared.cut();
        }
    }

    /// Loses the next `times` requests that contain `pattern`, or their replies.
    pub fn lose(&self, pattern: &str, loss: Loss, times: u32) {
        self.shared.state().watch = Some(Watch {
            pattern: pattern.to_owned(),
            loss,
            times,
        });
    }

    /// How many requests or replies were lost through `lose`.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.shared.lost.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.cut();
        // Wakes the accepting thread, which then sees that the proxy is closing.
        let _ = TcpStream::connect(("127.0.0.1", self.port()));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        for connection in self.state().connections.drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Takes one of the watch's turns if the request is the one it waits for.
    fn take_loss(&self, seen: impl Fn(&str) -> bool) -> Option<Loss> {
        let mut state = self.state();
        let watch = state
            .watch
            .as_mut()
            .filter(|watch| watch.times > 0 && seen(&watch.pattern))?;
        watch.times -= 1;
        let loss = watch.loss;
        Some(loss)
    }
}

fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.state().closing {
            return;
        }
        if !shared.state().refusing {
            // A server that is down breaks the connection just made: dropping the stream does that.
            let _ = connect(client, shared);
        }
    }
}

fn connect(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", shared.upstream))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared
        .state()
        .connections
        .extend([client.try_clone()?, server.try_clone()?]);
    let link = Arc::new(Link {
        client,
        server,
        losing: Mutex::new(false),
        shared: Arc::clone(shared),
    });
    let back = Arc::clone(&link);
    std::thread::spawn(move || link.pump(Link::pass_requests));
    std::thread::spawn(move || back.pump(Link::pass_replies));
    Ok(())
}

/// One client's connection and the server's behind it.
struct Link {
    client: TcpStream,
    server: TcpStream,
    losing: Mutex<bool>,
    shared: Arc<Shared>,
}

impl Link {
    /// Runs one direction until it ends, then breaks both.
    fn pump(&self, pass: impl FnOnce(&Self) -> std::io::Result<()>) {
        // The end of a connection is what a proxy lives with; there is nobody to report it to.
        let _ = pass(self);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn pass_requests(&self) -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut statements = Statements::new(self.shared.protocol);
        loop {
            let length = (&self.client).read(&mut buffer)?;
            let bytes = &buffer[..length];
            if length == 0 {
                return Ok(());
            }
            let run = statements.observe(bytes);
            match self
                .shared
                .take_loss(|pattern| run.iter().any(|text| text.contains(pattern)))
            {
                Some(Loss::Request) => {
                    self.shared.lost.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
                Some(Loss::Reply) => *self.losing() = true,
                None => {}
            }
            std::thread::sleep(self.shared.state().delay);
            (&self.server).write_all(bytes)?;
        }
    }

    fn pass_replies(&self) -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = (&self.server).read(&mut buffer)?;
            let bytes = &buffer[..length];
            if length == 0 {
                return Ok(());
            }
            if *self.losing() {
                if self.shared.protocol == Protocol::Bytes || statements::is_ready_for_query(bytes) {
                    self.shared.lost.fetch_add(1, Ordering::AcqRel);
                    return Ok(());
                }
                continue;
            }
            let (delay, silent) = {
                let state = self.shared.state();
                (state.delay, state.silent)
            };
            std::thread::sleep(delay);
            if !silent {
                (&self.client).write_all(bytes)?;
            }
        }
    }

    fn losing(&self) -> MutexGuard<'_, bool> {
        self.losing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
