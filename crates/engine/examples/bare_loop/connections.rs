//! Connections to one address, and the reading of one small answer.

use std::io::Read;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::event::epoll;

use crate::Failure;

/// Opens the connections, watched for answers under their index.
pub(crate) fn open(address: &str, count: usize) -> Result<(OwnedFd, Vec<TcpStream>), Failure> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::new();
    for index in 0..count {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        epoll::add(&epoll, &socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        sockets.push(socket);
    }
    Ok((epoll, sockets))
}

/// The request that both loops send.
pub(crate) fn request(address: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n")
}

/// Reads one answer, which must be small and whole.
pub(crate) fn read_answer(socket: &mut TcpStream, buffer: &mut [u8]) -> Result<(), Failure> {
    let read = socket.read(buffer)?;
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let bytes = buffer.get(..read).unwrap_or_default();
    let httparse::Status::Complete(head) = response.parse(bytes)? else {
        return Err("the answer came in pieces, or the peer has closed: use a target with small answers".into());
    };
    let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length: usize = std::str::from_utf8(field.ok_or("no content-length")?.value)?.parse()?;
    if head + length != read || response.code != Some(200) {
        return Err("not one small answer with status 200".into());
    }
    Ok(())
}
