use proptest::prelude::*;

use super::*;

/// Feeds `bytes` in pieces that end at `cuts`; how many bytes the answer took, if it was completed.
fn read(reader: &mut ResponseReader, bytes: &[u8], cuts: &[usize]) -> Result<Option<usize>, Problem> {
    let mut at = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        let end = end.clamp(at, bytes.len());
        if let Progress::Complete { consumed } = reader.feed(&bytes[at..end]).map_err(|error| error.problem)? {
            return Ok(Some(at + consumed));
        }
        at = end;
    }
    Ok(None)
}

fn whole(bytes: &str, is_head: bool) -> (Result<Option<usize>, Problem>, u16, bool) {
    let mut reader = ResponseReader::new();
    reader.reset(is_head);
    let result = read(&mut reader, bytes.as_bytes(), &[]);
    (result, reader.status(), reader.keeps_alive())
}

#[test]
fn the_length_of_an_answer_is_found_by_each_of_its_rules() {
    for (answer, is_head, keeps) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, true),
        ("HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", false, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, true),
        ("HTTP/1.1 204 No\r\n\r\n", false, true),
        ("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", false, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", false, true),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\nA ;x\r\n0123456789\r\n0\r\na: b\r\n\r\n",
            false,
            true,
        ),
        ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", false, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", false, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2,,2\r\n\r\nok", false, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", false, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, true),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2;a=\"b\"\nok\n0\nT: x\n\n", false, true),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, true),
        ("HTTP/1.1  200  \r\nContent-Length : 0\r\n\r\n", false, true),
        ("\r\nHTTP/1.1 200 OK\r\nX: a\r\n  folded\r\nContent-Length: 0\r\n\r\n", false, true),
        ("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=0\r\nContent-Length: 0\r\n\r\n", false, false),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n", false, false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false, true),
        (
            "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hint\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            false,
            true,
        ),
    ] {
        let (result, status, keeps_alive) = whole(answer, is_head);
        assert_eq!(result, Ok(Some(answer.len())), "{answer}");
        assert_eq!(keeps_alive, keeps, "{answer}");
        assert!(status >= 200);
        // What follows is left alone.
        assert_eq!(whole(&format!("{answer}more"), is_head).0, Ok(Some(answer.len())), "{answer}");
    }
}

#[test]
fn an_answer_without_a_length_ends_with_the_connection() {
    let mut reader = ResponseReader::new();
    assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\n\r\nsome").unwrap(), Progress::Partial);
    assert!(reader.close() && !reader.keeps_alive());
    reader.reset(false);
    assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome").unwrap(), Progress::Partial);
    assert!(!reader.close());
}

#[test]
fn what_violates_the_protocol_is_refused_with_its_reason() {
    for (answer, error) in [
        ("HTTP/2 200\r\n\r\n", Problem::Http2),
        ("HTTP/0.9 200\r\n\r\n", Problem::Version),
        ("hello world\r\n\r\n", Problem::Version),
        ("SSH-2.0-OpenSSH\r\n", Problem::Version),
        ("\u{15}\u{3}\u{3}\0\u{2}\u{2}P", Problem::Tls),
        ("HTTP/1.1 2x0 OK\r\n\r\n", Problem::Status),
        ("HTTP/1.1 099 OK\r\n\r\n", Problem::Status),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Problem::Field),
        ("HTTP/1.1 200 OK\r\n: empty\r\n\r\n", Problem::Field),
        ("HTTP/1.1 200 OK\r\nA: b\u{1}\r\n\r\n", Problem::Field),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Problem::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Problem::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", Problem::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: ,\r\n\r\n", Problem::Length),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Problem::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Problem::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab", Problem::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", Problem::Chunk),
        ("HTTP/1.1 101 Switch\r\n\r\n", Problem::Switch),
    ] {
        assert_eq!(whole(answer, false).0, Err(error), "{answer}");
    }
    let fields: String = (0..200).map(|n| format!("x{n}: y\r\n")).collect();
    assert_eq!(whole(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), false).0, Err(Problem::TooManyFields));
}

#[test]
fn an_error_shows_the_line_that_is_wrong_escaped_and_bounded() {
    let told = |bytes: &[u8]| ResponseReader::new().feed(bytes).unwrap_err().to_string();
    let field = told(b"HTTP/1.1 200 OK\r\nA: b\r\nno colon here\r\n\r\n");
    assert!(field.ends_with("`no colon here`") && field.contains("header line"), "{field}");
    let version = told(b"SSH-2.0-\x1b[31mOpenSSH\r\n");
    assert!(version.contains("`SSH-2.0-\\x1b[31mOpenSSH`"), "{version}");
    let long = told("x".repeat(5_000).as_bytes());
    assert!(long.len() < 200 && long.ends_with("...`"), "{long}");
    assert!(told(b"\x15\x03\x03\x00\x02\x02\x50").contains("https://"));
    assert!(told(b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\n").ends_with("`2x`"));
    let chunk = told(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert!(chunk.ends_with("`zz`"), "{chunk}");
}

#[test]
fn an_answer_in_a_coding_that_is_not_chunked_last_ends_with_the_connection() {
    for codings in ["gzip", "chunked, gzip", "identity, gzip"] {
        let mut reader = ResponseReader::new();
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\nContent-Length: 1\r\n\r\nmore");
        assert_eq!(reader.feed(answer.as_bytes()).unwrap(), Progress::Partial, "{codings}");
        assert!(reader.close() && !reader.keeps_alive(), "{codings}");
    }
}

#[test]
fn a_body_is_handed_on_without_its_framing_however_it_is_cut() {
    for (answer, body) in [
        ("HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest", "{}"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n", "{}"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2, 2\r\n\r\n{}", "{}"),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"),
        ("HTTP/1.1 204 No\r\n\r\n", ""),
    ] {
        for size in 1..answer.len() {
            let mut reader = ResponseReader::new();
            let mut got = Vec::new();
            for piece in answer.as_bytes().chunks(size) {
                let progress = reader.feed_to(piece, |bytes| got.extend_from_slice(bytes)).unwrap();
                if matches!(progress, Progress::Complete { .. }) {
                    break;
                }
            }
            assert_eq!(got, body.as_bytes(), "{answer:?} in pieces of {size}");
        }
    }
}

#[test]
fn how_long_a_peer_keeps_a_connection_is_what_it_says() {
    let mut reader = ResponseReader::new();
    reader.feed(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!((reader.idle_seconds(), reader.keeps_alive()), (Some(5), true));
    reader.reset(false);
    assert_eq!(reader.idle_seconds(), None);
}

#[test]
fn a_head_is_bounded_however_it_comes() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(HEAD_MAX_BYTES));
    assert_eq!(whole(&long, false).0, Err(Problem::HeadTooLong));
    let mut reader = ResponseReader::new();
    let cuts: Vec<usize> = (0..long.len()).step_by(1_000).collect();
    assert_eq!(read(&mut reader, long.as_bytes(), &cuts), Err(Problem::HeadTooLong));
    assert!(reader.head.len() <= HEAD_MAX_BYTES + 1);
    let trailer =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}", "x".repeat(HEAD_MAX_BYTES + 9));
    assert_eq!(whole(&trailer, false).0, Err(Problem::HeadTooLong));
}

fn any_answer() -> impl Strategy<Value = String> {
    let body = prop::collection::vec("[a-z\r\n]{0,40}", 0..6);
    let fields = prop::collection::vec(("x-[a-z]{1,12}", "[ -~]{0,30}"), 0..8);
    (100u16..200, any::<bool>(), any::<bool>(), fields, body).prop_map(|(info, has_info, chunked, fields, body)| {
        let mut answer = String::new();
        if has_info && info != 101 {
            answer.push_str(&format!("HTTP/1.1 {info} Info\r\nA: b\r\n\r\n"));
        }
        answer.push_str("HTTP/1.1 200 OK\r\n");
        for (name, value) in fields {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        if chunked {
            answer.push_str("Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.iter().filter(|chunk| !chunk.is_empty()) {
                answer.push_str(&format!("{:x};ext=1\r\n{chunk}\r\n", chunk.len()));
            }
            answer.push_str("0\r\nTrailer: x\r\n\r\n");
        } else {
            let body = body.concat();
            answer.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        }
        answer
    })
}

proptest! {
    #[test]
    fn where_an_answer_is_cut_changes_nothing(answer in any_answer(), mut cuts in prop::collection::vec(0usize..2_000, 0..40)) {
        cuts.sort_unstable();
        let with_more = format!("{answer}HTTP/1.1 500 next");
        let mut reader = ResponseReader::new();
        prop_assert_eq!(read(&mut reader, with_more.as_bytes(), &cuts), Ok(Some(answer.len())));
        prop_assert_eq!((reader.status(), reader.keeps_alive()), (200, true));
        reader.reset(false);
        let each: Vec<usize> = (0..answer.len()).collect();
        prop_assert_eq!(read(&mut reader, answer.as_bytes(), &each), Ok(Some(answer.len())));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
        let mut reader = ResponseReader::new();
        let _ = read(&mut reader, &bytes, &[cut]);
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend_from_slice(&bytes);
        reader.reset(false);
        let _ = read(&mut reader, &answer, &[cut]);
        let _ = reader.close();
    }
}
