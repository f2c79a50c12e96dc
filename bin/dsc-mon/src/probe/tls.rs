//! A TLS handshake, and how long the server's certificate is still valid. Who has signed it is not looked at: servers inside sign
//! their own. That the server has the certificate's key is.

use super::reason;
use dsc_sys::clock;
use dsc_wire::Reason;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;

const DAY_S: u64 = 24 * 3600;

/// Shakes hands as a client that calls the server `host`; the certificate must be valid for `days` more.
pub async fn shake(
    stream: TcpStream,
    to: SocketAddr,
    host: Option<&str>,
    days: u16,
) -> Result<(), Reason> {
    let name = match host {
        Some(host) => ServerName::try_from(host.to_owned()).map_err(|_| Reason::NoTls)?,
        None => ServerName::from(to.ip()),
    };
    let stream = TlsConnector::from(config()?).connect(name, stream).await.map_err(|e| {
        // What is no TLS is an error of that kind.
        if e.kind() == ErrorKind::InvalidData { Reason::NoTls } else { reason(e) }
    })?;
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or(Reason::NoTls)?;
    judge(certificate, days)
}

fn judge(certificate: &CertificateDer<'_>, days: u16) -> Result<(), Reason> {
    let certificate = Certificate::from_der(certificate).map_err(|_| Reason::NoTls)?;
    let end = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    let now = clock::wall_ms() / 1000;
    let left = u16::try_from(end.saturating_sub(now) / DAY_S).unwrap_or(u16::MAX);
    if end > now && left >= days { Ok(()) } else { Err(Reason::Expires { days: left }) }
}

/// The same for all probes: it takes longer to make than to use.
fn config() -> Result<Arc<ClientConfig>, Reason> {
    static MADE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made.clone());
    }
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| Reason::NoTls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnySigner(provider)))
        .with_no_client_auth();
    // A session that is resumed shows the certificate of before.
    config.resumption = Resumption::disabled();
    Ok(MADE.get_or_init(|| Arc::new(config)).clone())
}

/// Takes every certificate whose key the server has.
#[derive(Debug)]
struct AnySigner(Arc<CryptoProvider>);

impl ServerCertVerifier for AnySigner {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
    use tokio_rustls::rustls::sign::CertifiedKey;
    use tokio_rustls::rustls::version::TLS12;

    /// The certificates of a server, signed by itself, each with its key: one for each handshake that asks for one.
    #[derive(Debug)]
    struct Renewed(Mutex<Vec<Arc<CertifiedKey>>>);

    impl ResolvesServerCert for Renewed {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            self.0.lock().unwrap().pop()
        }
    }

    fn ending((year, month, day): (i32, u8, u8)) -> Arc<CertifiedKey> {
        let mut wanted = rcgen::CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        wanted.not_before = rcgen::date_time_ymd(2000, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(year, month, day);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = wanted.self_signed(&key).unwrap();
        let key = ring::sign::any_supported_type(&key.serialize_der().try_into().unwrap()).unwrap();
        Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))
    }

    /// What becomes of probes of a server whose certificates end on these dates.
    fn against(ends: &[(i32, u8, u8)], days: u16) -> Vec<Result<(), Reason>> {
        let all = ends.iter().rev().map(|end| ending(*end)).collect();
        let provider = Arc::new(ring::default_provider());
        // A session of this version can be resumed as soon as it has begun.
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Renewed(Mutex::new(all))));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let to = listener.local_addr().unwrap();
            let serve = async {
                let mut sessions = Vec::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    sessions.push(acceptor.accept(stream).await);
                }
            };
            let ask = async {
                let mut results = Vec::new();
                for _ in ends {
                    let stream = TcpStream::connect(to).await.unwrap();
                    results.push(shake(stream, to, Some("shop.example"), days).await);
                }
                results
            };
            tokio::select! { results = ask => results, () = serve => panic!() }
        })
    }

    #[test]
    fn a_certificate_must_be_valid_for_long_enough() {
        assert_eq!(against(&[(2099, 1, 1)], 3650), [Ok(())]);
        assert_eq!(against(&[(2001, 1, 1)], 0), [Err(Reason::Expires { days: 0 })]);
        let [Err(Reason::Expires { days })] = against(&[(2099, 1, 1)], u16::MAX)[..] else {
            panic!()
        };
        assert!((10_000..30_000).contains(&days), "{days}");
    }

    #[test]
    fn each_probe_sees_the_certificate_of_its_own_time() {
        let ended = Err(Reason::Expires { days: 0 });
        assert_eq!(
            against(&[(2099, 1, 1), (2001, 1, 1), (2099, 1, 1)], 1),
            [Ok(()), ended, Ok(())]
        );
    }
}
