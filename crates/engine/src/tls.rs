//! TLS as a client: whom to trust, who we are, and what went wrong in words. One set-up for all engines.

use std::io;
use std::sync::Arc;

use nuncius_schemas::spec::TlsOptions;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

mod verifier;
mod words;

pub(crate) use words::in_words;

use verifier::Verifier;

/// How TLS peers of a group are met.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
}

/// Reads certificates and key once for a group. `server_name` is the target's host, unless the options name another.
///
/// # Errors
/// Begins with the field and never shows a key.
pub(crate) fn setup(options: Option<&TlsOptions>, server_name: &str, protocol: Option<&str>) -> Result<Tls, String> {
    let default = TlsOptions::default();
    let options = options.unwrap_or(&default);
    let trusted = options.ca.as_deref().map(|pem| certificates("tls.ca", pem)).transpose()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match (options.verify, trusted) {
        (false, _) => Verifier::none(&provider),
        (true, Some(trusted)) => Verifier::of(roots(&trusted), trusted, &provider)?,
        (true, None) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("tls: this node trusts no authority: give tls.ca, or install certificates on it".to_owned());
            }
            Verifier::of(roots, Vec::new(), &provider)?
        }
    };
    let name = server_name.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']').to_owned();
    let server_name = ServerName::try_from(name.clone())
        .map_err(|_| format!("tls.server_name: `{name}` is neither a host name nor an address"))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates("tls.cert", cert)?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
                "tls.key: holds no private key in PEM that can be read (without a passphrase)".to_owned()
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| "tls.key: is no key for tls.cert, or of a kind that is not known".to_owned())?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => return Err("tls.key: is missing beside tls.cert".to_owned()),
        (None, Some(_)) => return Err("tls.cert: is missing beside tls.key".to_owned()),
    };
    config.alpn_protocols = protocol.into_iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Tls { config: Arc::new(config), server_name })
}

fn certificates(field: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{field}: holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")),
        Err(_) => Err(format!("{field}: is not PEM that can be read")),
    }
}

/// Those of them that can be an authority; the others are trusted as they are.
fn roots(trusted: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    roots
}

/// Whether an error of a connection is one of its TLS session.
pub(crate) fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}
