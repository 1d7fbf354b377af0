//! Whether a connection may be used again, and whether a request that met a closing one may be sent again.
//!
//! A server may close a connection whenever nothing is asked on it, without a word (RFC 9112, 9.5). A request that is
//! on its way at that moment fails though nobody has looked at it. What the server cannot have seen is sent again, and
//! counted apart; what it may have seen only where twice does no harm (RFC 9110, 9.2.2).

use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::{RecvFlags, recv};

/// So many connections have to be cut after the same number of answers before that number counts as the server's limit.
const CUTS_MIN: u8 = 3;

/// What the connections to a host have shown of how many requests one of them may have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reuse {
    /// The most answers that one connection has given.
    most: u32,
    /// Connections that were cut after just as many.
    cuts: u8,
    /// The server cuts connections after this many.
    limit: Option<u32>,
}

impl Reuse {
    /// A connection has given its answer number `served`.
    #[inline]
    pub(crate) fn answered(&mut self, served: u32) {
        if served > self.most {
            (self.most, self.cuts) = (served, 0);
        }
    }

    /// A connection was cut under a request after it had given `served` answers. Where none has ever given more, and it
    /// happens again and again, the server has a limit that it does not tell.
    pub(crate) fn cut(&mut self, served: u32) {
        if served > 0 && served == self.most {
            self.cuts = self.cuts.saturating_add(1);
            if self.cuts >= CUTS_MIN {
                self.limit = Some(served);
            }
        }
    }

    /// Whether a connection that has given `served` answers may have another request.
    #[inline]
    pub(crate) fn allows(&self, served: u32) -> bool {
        self.limit.is_none_or(|limit| served < limit)
    }

    /// Whether connections have been cut lately, so that a look before use pays.
    #[inline]
    pub(crate) fn is_suspect(&self) -> bool {
        self.cuts > 0
    }
}

/// What a connection at rest has to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: it is open.
    Quiet,
    /// Bytes that nobody asked for, or that belong to the TLS session.
    Bytes,
    /// Its end.
    Closed,
}

/// Looks at a connection without taking anything from it.
pub(crate) fn look(socket: BorrowedFd<'_>) -> Rest {
    match recv(socket, &mut [0u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 1..)) => Rest::Bytes,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Rest::Quiet,
        Ok(_) | Err(_) => Rest::Closed,
    }
}

/// Whether the peer has closed a connection before any of the last `written` bytes had reached it. To be asked once its
/// end was read: the end comes with an acknowledgement of all that had come until then.
pub(crate) fn is_unseen(socket: &impl AsFd, written: usize) -> bool {
    written > 0 && unacknowledged_bytes(socket.as_fd()).is_some_and(|bytes| bytes >= written)
}

/// Bytes that were written and that the peer has not acknowledged (SIOCOUTQ of tcp(7)); `None` where the system has no
/// such number.
fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> Option<usize> {
    use rustix::ioctl::{Getter, Opcode, ioctl};
    const SIOCOUTQ: Opcode = 0x5411;
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64", target_arch = "arm"))]
    {
        #[expect(unsafe_code, reason = "rustix has no safe form of this request")]
        // SAFETY: SIOCOUTQ writes one int to where it is told and changes nothing.
        let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, std::ffi::c_int>::new()) };
        usize::try_from(bytes.ok()?).ok()
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64", target_arch = "arm")))]
    {
        let _ = socket;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn what_was_written_after_the_peer_had_closed_was_never_seen_and_what_it_read_was() {
        let (mut client, server) = pair();
        drop(server);
        client.write_all(b"POST").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        assert!(is_unseen(&client, 4));
        let (mut client, mut server) = pair();
        client.write_all(b"POST").unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        drop(server);
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        assert!(!is_unseen(&client, 4));
    }

    #[test]
    fn a_look_tells_an_open_connection_from_one_with_bytes_and_from_a_closed_one() {
        let (client, mut server) = pair();
        assert_eq!(look(client.as_fd()), Rest::Quiet);
        server.write_all(b"x").unwrap();
        assert_eq!(look(client.as_fd()), Rest::Bytes);
        let (client, server) = pair();
        drop(server);
        assert_eq!(look(client.as_fd()), Rest::Closed);
    }

    #[test]
    fn a_limit_is_believed_only_when_no_connection_ever_got_beyond_it() {
        let mut reuse = Reuse::default();
        for _ in 0..3 {
            reuse.answered(5);
            reuse.cut(5);
        }
        assert!(reuse.allows(4) && !reuse.allows(5));
        let mut reuse = Reuse::default();
        reuse.answered(6);
        (0..9).for_each(|_| reuse.cut(5));
        assert!(reuse.allows(5) && reuse.allows(6));
        reuse.cut(6);
        reuse.cut(6);
        reuse.answered(7);
        reuse.cut(7);
        assert!(reuse.allows(7), "what was cut before others got further says nothing");
    }
}
