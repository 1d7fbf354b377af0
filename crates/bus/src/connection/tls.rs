//! TLS towards the server, and what is wrong with it in words.

use super::Tls;

/// Adds what is to be had of it.
pub(super) fn apply(mut nats: async_nats::ConnectOptions, tls: &Tls) -> async_nats::ConnectOptions {
    nats = nats.require_tls(tls.require || tls.first);
    if tls.first {
        nats = nats.tls_first();
    }
    if let Some(ca_file) = &tls.ca_file {
        nats = nats.add_root_certificates(ca_file.clone());
    }
    if let Some((certificate, key)) = &tls.client_certificate {
        nats = nats.add_client_certificate(certificate.clone(), key.clone());
    }
    nats
}

/// Why there is no connection, with what to do about it.
pub(super) fn in_words(reason: &str, tls: &Tls) -> String {
    let lower = reason.to_lowercase();
    let says = |part: &str| lower.contains(part);
    let advice = if says("unknownissuer") || says("unknown issuer") {
        "the authority that signed the server's certificate is not known here: name its file with --nats-ca"
    } else if says("notvalidforname") || says("not valid for name") {
        "the server's certificate is for other names than the one that was dialled"
    } else if says("expired") {
        "the server's certificate has expired, or a clock is wrong"
    } else if says("notvalidyet") || says("not valid yet") {
        "the server's certificate is not valid yet, or a clock is wrong"
    } else if says("certificaterequired") || says("certificate required") || says("certificate_required") {
        "the server wants a client's certificate: name it with --nats-cert and --nats-key"
    } else if says("received fatal alert") && tls.client_certificate.is_some() {
        "the server does not take the certificate of --nats-cert"
    } else if says("invalidcontenttype") || (tls.first && says("corrupt message")) {
        "the server does not begin with TLS: leave out --nats-tls-first"
    } else if says("authorization violation") {
        "the server does not take these credentials"
    } else if !tls.first && (says("timed out") || says("expected info, got nothing")) {
        "nothing came from the server; one that begins with TLS (handshake_first) wants --nats-tls-first"
    } else {
        return reason.to_owned();
    };
    format!("{advice} ({reason})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let tls = Tls::default();
        let words = in_words("IO error: invalid peer certificate: UnknownIssuer", &tls);
        assert!(words.contains("--nats-ca") && words.contains("UnknownIssuer"), "{words}");
        assert_eq!(in_words("IO error: Connection refused", &tls), "IO error: Connection refused");
    }
}
