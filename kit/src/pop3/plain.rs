//! A client of the simplest kind, that shares no code with what is checked by it: what does a
//! server on a loopback port really send?

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::dovecot::PASSWORD;

/// Everything in a maildrop, as it goes over the wire, without what was stuffed into it.
///
/// # Panics
/// Where the server does not give it.
#[must_use]
pub fn bodies(port: u16, user: &str) -> Vec<Vec<u8>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    let mut stream = BufReader::new(stream);
    line(&mut stream);
    // As they are, where the server would rewrite some; if it cannot do so, it refuses this.
    write!(stream.get_mut(), "UTF8\r\n").expect("it listens");
    line(&mut stream);
    say(&mut stream, &format!("USER {user}"));
    say(&mut stream, &format!("PASS {PASSWORD}"));
    let stat = say(&mut stream, "STAT");
    let count: u32 = stat.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a count");
    let ask = |stream: &mut BufReader<TcpStream>, number: u32| {
        if number <= count {
            write!(stream.get_mut(), "RETR {number}\r\n").expect("it listens");
        }
    };
    ask(&mut stream, 1);
    let bodies = (1..=count).map(|number| {
        // Always one ahead: else each waits for an acknowledgement that takes its time.
        ask(&mut stream, number + 1);
        assert!(line(&mut stream).starts_with(b"+OK"), "RETR {number}");
        let mut body = Vec::new();
        loop {
            let line = line(&mut stream);
            if line == b".\r\n" {
                return body;
            }
            body.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    });
    let bodies = bodies.collect();
    say(&mut stream, "QUIT");
    bodies
}

fn say(stream: &mut BufReader<TcpStream>, command: &str) -> String {
    write!(stream.get_mut(), "{command}\r\n").expect("it listens");
    let answer = String::from_utf8(line(stream)).expect("text");
    assert!(answer.starts_with("+OK"), "{command}: {answer}");
    answer
}

/// A line with its CRLF: a bare LF ends none.
fn line(stream: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        assert!(stream.read_until(b'\n', &mut line).expect("it answers") > 0, "it hung up");
    }
    line
}
