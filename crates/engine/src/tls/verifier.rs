//! Who is trusted: as the library has it, and besides a peer whose very certificate was given.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::words::Refused;

/// Checks the certificates of peers, or does not.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Absent where no authority is known: then only `trusted` counts.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates that are trusted as they are, byte for byte.
    trusted: Vec<CertificateDer<'static>>,
    is_checked: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Checks nothing.
    pub(super) fn none(provider: &CryptoProvider) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { authorities: None, trusted: Vec::new(), is_checked: false, algorithms }
    }

    /// Trusts what one of `roots` has signed, and `trusted` themselves.
    pub(super) fn of(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let algorithms = provider.signature_verification_algorithms;
        let authorities = if roots.is_empty() {
            None
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            Some(verifier.map_err(|error| format!("tls.ca: {error}"))?)
        };
        Ok(Self { authorities, trusted, is_checked: true, algorithms })
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let is_trusted = self.trusted.iter().any(|trusted| trusted == end_entity);
        let judged = match &self.authorities {
            Some(authorities) => {
                authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(drop)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        match judged {
            // Its time was looked at before it turned out to be no end of a chain: a certificate of an authority, or
            // one that signed itself. It is the one that was given.
            Err(Error::InvalidCertificate(error)) if is_trusted && !is_about_time_or_name(&error) => {
                check_name(end_entity, server_name)
            }
            // It names nobody at all, so that it can be known by its bytes alone.
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
                if is_trusted && presented.is_empty() =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

fn is_about_time_or_name(error: &CertificateError) -> bool {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    matches!(
        error,
        Expired
            | ExpiredContext { .. }
            | NotValidYet
            | NotValidYetContext { .. }
            | NotValidForName
            | NotValidForNameContext { .. }
    )
}

/// The name of a certificate that is trusted as it is, if it has any.
fn check_name(end_entity: &CertificateDer<'_>, server_name: &ServerName<'_>) -> Result<(), Error> {
    // One that cannot be read (version 1 of X.509) has no name to be looked at.
    let Ok(parsed) = ParsedCertificate::try_from(end_entity) else { return Ok(()) };
    match rustls::client::verify_server_name(&parsed, server_name) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
            if presented.is_empty() =>
        {
            Ok(())
        }
        other => other,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.is_checked {
            return Ok(ServerCertVerified::assertion());
        }
        match self.check(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(Error::InvalidCertificate(error)) => {
                let refused = Refused::new(&error, end_entity, server_name);
                Err(CertificateError::Other(OtherError(Arc::new(refused))).into())
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.is_checked {
            true => verify_tls12_signature(message, certificate, signature, &self.algorithms),
            false => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.is_checked {
            true => verify_tls13_signature(message, certificate, signature, &self.algorithms),
            false => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
