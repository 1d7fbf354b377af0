//! What went wrong with a TLS session, for people: what it was, and what to do.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, OtherError};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Most names of a certificate that are shown.
const NAMES_SHOWN_MAX: usize = 8;

/// Why a certificate was refused.
#[derive(Debug)]
pub(super) struct Refused(String);

impl Refused {
    pub(super) fn new(error: &CertificateError, end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Self {
        Self(refusal(error, end_entity, &name.to_str()))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn refusal(error: &CertificateError, end_entity: &CertificateDer<'_>, name: &str) -> String {
    use CertificateError::{
        BadEncoding, BadSignature, Expired, ExpiredContext, InvalidPurpose, InvalidPurposeContext, NotValidForName,
        NotValidForNameContext, NotValidYet, NotValidYetContext, Revoked, UnknownIssuer,
    };
    const LAST_RESORT: &str = "or set tls.verify: false";
    match error {
        ExpiredContext { not_after, .. } => {
            format!("the server's certificate has expired on {}: renew it, {LAST_RESORT}", date(*not_after))
        }
        Expired => format!("the server's certificate has expired: renew it, {LAST_RESORT}"),
        NotValidYetContext { not_before, .. } => {
            let from = date(*not_before);
            format!("the server's certificate is valid from {from} on only: look at the clocks, {LAST_RESORT}")
        }
        NotValidYet => format!("the server's certificate is not valid yet: look at the clocks, {LAST_RESORT}"),
        NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
            "the server's certificate names no host (it has no subjectAltName), so it is not for {name}: give the \
             certificate itself as tls.ca, {LAST_RESORT}"
        ),
        NotValidForNameContext { presented, .. } => {
            let names = names(presented);
            format!("the server's certificate is for {names}, not {name}: give tls.server_name, {LAST_RESORT}")
        }
        NotValidForName => {
            format!("the server's certificate is not for {name}: give tls.server_name, {LAST_RESORT}")
        }
        UnknownIssuer if is_self_signed(end_entity) => {
            format!("the server's certificate is self-signed: give it as tls.ca, {LAST_RESORT}")
        }
        UnknownIssuer => {
            format!(
                "the server's certificate is of an authority that is not trusted: give that as tls.ca, {LAST_RESORT}"
            )
        }
        Revoked => "the server's certificate was revoked".to_owned(),
        BadEncoding => {
            format!("the server's certificate cannot be read (X.509 version 3 is needed): renew it, {LAST_RESORT}")
        }
        BadSignature => "the signature of the server's certificate is wrong".to_owned(),
        InvalidPurpose | InvalidPurposeContext { .. } => {
            format!("the server's certificate is not for servers: renew it, {LAST_RESORT}")
        }
        // An authority's own certificate: what `openssl req -x509` makes.
        CertificateError::Other(_) if is_self_signed(end_entity) => {
            format!("the server's certificate is self-signed: give it as tls.ca, {LAST_RESORT}")
        }
        _ => format!("the server's certificate is not one that can be checked: renew it, {LAST_RESORT}"),
    }
}

/// The names of a certificate; the library shows a name as `DnsName("shop.example")`.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| match name.split_once(['(', '[']) {
        Some((_, inner)) => inner.trim_end_matches([')', ']']).trim_matches('"').to_owned(),
        None => name.clone(),
    };
    let mut names: Vec<String> = presented.iter().take(NAMES_SHOWN_MAX).map(plain).collect();
    if presented.len() > NAMES_SHOWN_MAX {
        names.push("others".to_owned());
    }
    names.join(", ")
}

/// Whether issuer and subject of a certificate are the same.
fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    names_of(certificate).is_some_and(|(issuer, subject)| issuer == subject)
}

/// Issuer and subject of a certificate in DER (RFC 5280, 4.1): the fields of its body before the key.
fn names_of<'a>(certificate: &'a CertificateDer<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let (_, outer, _) = element(certificate.as_ref())?;
    let (_, mut body, _) = element(outer)?;
    // The version is there in all but the first.
    if body.first() == Some(&0xa0) {
        body = element(body)?.2;
    }
    let after_serial = element(body)?.2;
    let after_algorithm = element(after_serial)?.2;
    let (_, issuer, after_issuer) = element(after_algorithm)?;
    let after_validity = element(after_issuer)?.2;
    let (_, subject, _) = element(after_validity)?;
    Some((issuer, subject))
}

/// Tag, content and what follows of the first element of DER.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().try_fold(0usize, |sum, byte| Some(sum.checked_mul(256)? + usize::from(*byte)))?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// An instant as `2026-01-31 12:00:00 UTC`.
fn date(time: UnixTime) -> String {
    let (days, seconds) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The date of a day since 1970 in the Gregorian calendar, by the era of 400 years that it lies in.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// What an error of a TLS connection means.
pub(crate) fn in_words(error: &io::Error) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed the connection during the handshake".to_owned(),
            _ => error.to_string(),
        };
    };
    match inner {
        Error::InvalidCertificate(CertificateError::Other(OtherError(refused))) => refused.to_string(),
        Error::InvalidCertificate(_) => "the server's certificate is not one that can be checked".to_owned(),
        Error::AlertReceived(alert) => alert_in_words(*alert),
        Error::PeerIncompatible(_) => {
            "the server has no version of TLS (1.2, 1.3), cipher or group in common with this client".to_owned()
        }
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::PeerSentOversizedRecord => {
            "what the server sent is not TLS: is it http:// that it speaks on this port?".to_owned()
        }
        Error::NoCertificatesPresented => "the server has no certificate".to_owned(),
        Error::NoApplicationProtocol => "the server does not speak HTTP/1.1 over TLS".to_owned(),
        Error::DecryptError => "what the server sent cannot be decrypted".to_owned(),
        _ => "the TLS session with the server cannot go on".to_owned(),
    }
}

fn alert_in_words(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::CertificateRequired => "it wants a client certificate: give tls.cert and tls.key",
        AlertDescription::HandshakeFailure => {
            "it found nothing in common, or wants a client certificate (tls.cert and tls.key)"
        }
        AlertDescription::BadCertificate | AlertDescription::UnsupportedCertificate => {
            "it cannot use the client certificate (tls.cert)"
        }
        AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => "it does not trust the client certificate (tls.cert)",
        AlertDescription::CertificateExpired => "the client certificate (tls.cert) has expired",
        AlertDescription::CertificateRevoked => "the client certificate (tls.cert) was revoked",
        AlertDescription::ProtocolVersion => "it speaks neither TLS 1.2 nor TLS 1.3",
        AlertDescription::UnrecognisedName => "it has no host of this name: give tls.server_name",
        AlertDescription::NoApplicationProtocol => "it does not speak HTTP/1.1",
        AlertDescription::InternalError => "an internal error of its own",
        other => return format!("the server ended the TLS session with alert {}", u8::from(other)),
    };
    format!("the server ended the TLS session: {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_of_the_calendar() {
        let told = |seconds| date(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)));
        assert_eq!(told(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(told(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(told(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(told(4_102_444_800), "2100-01-01 00:00:00 UTC");
    }

    #[test]
    fn names_of_a_certificate_are_shown_plainly() {
        let presented = ["DnsName(\"shop.example\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()];
        assert_eq!(names(&presented), "shop.example, 127.0.0.1");
    }
}
