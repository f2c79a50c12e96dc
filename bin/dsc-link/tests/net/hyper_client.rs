//! A client of HTTP/1.1 or HTTP/2, with or without TLS: what came of a body, and whether it came to its end.

use super::LIMIT;
use super::client::Response;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper::{Request, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub tls: bool,
    pub h2: bool,
}

pub const WAYS: [Way; 3] =
    [Way { tls: false, h2: true }, Way { tls: true, h2: false }, Way { tls: true, h2: true }];

enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

/// A connection.
pub struct HyperClient {
    runtime: Runtime,
    sender: Sender,
    /// The server's.
    pub certificate: Option<CertificateDer<'static>>,
}

impl HyperClient {
    pub fn connect(address: SocketAddr, way: Way, name: &str) -> HyperClient {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a loop");
        let (sender, certificate) = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("a connection");
            if !way.tls {
                return (shake(TokioIo::new(stream), way.h2).await, None);
            }
            let name = ServerName::try_from(name.to_owned()).expect("a name");
            let connector = TlsConnector::from(Arc::new(trusting(way.h2)));
            let stream = connector.connect(name, stream).await.expect("a handshake");
            let session = stream.get_ref().1;
            assert_eq!(
                session.alpn_protocol(),
                Some(if way.h2 { &b"h2"[..] } else { b"http/1.1" })
            );
            let certificate = session.peer_certificates().expect("one")[0].clone().into_owned();
            (shake(TokioIo::new(stream), way.h2).await, Some(certificate))
        });
        HyperClient { runtime, sender, certificate }
    }

    /// Asks for one path.
    pub fn get(&mut self, path: &str, range: Option<&str>) -> Option<Response> {
        self.get_all(&[path], range).pop().expect("one")
    }

    /// Asks for a path by HTTP/2, and reads nothing of the body while something is not so.
    pub fn hold(&mut self, path: &str, mut until: impl FnMut() -> bool) {
        let HyperClient { runtime, sender: Sender::Two(sender), .. } = self else {
            panic!("no HTTP/2")
        };
        runtime.block_on(async {
            let request = Request::get(format!("http://shop.example{path}"));
            let request = request.body(Empty::new()).expect("a request");
            let _answer = sender.send_request(request).await.expect("an answer");
            let end = tokio::time::Instant::now() + LIMIT;
            while !until() {
                assert!(tokio::time::Instant::now() < end, "not in time");
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        });
    }

    /// Asks for all of them at once, as far as what is spoken lets it.
    pub fn get_all(&mut self, paths: &[&str], range: Option<&str>) -> Vec<Option<Response>> {
        let HyperClient { runtime, sender, .. } = self;
        runtime.block_on(async {
            let mut tasks = Vec::new();
            for path in paths {
                let uri = match sender {
                    Sender::One(_) => (*path).to_owned(),
                    Sender::Two(_) => format!("http://shop.example{path}"),
                };
                let mut request = Request::get(uri);
                if matches!(sender, Sender::One(_)) {
                    request = request.header(header::HOST, "shop.example");
                }
                if let Some(range) = range {
                    request = request.header(header::RANGE, range);
                }
                let request = request.body(Empty::new()).expect("a request");
                let answer = match sender {
                    Sender::One(sender) => {
                        let ready = sender.ready().await.is_ok();
                        let answer = sender.send_request(request);
                        tokio::spawn(async move { if ready { answer.await.ok() } else { None } })
                    }
                    Sender::Two(sender) => {
                        let answer = sender.send_request(request);
                        tokio::spawn(async move { answer.await.ok() })
                    }
                };
                tasks.push(tokio::spawn(async move {
                    let answer =
                        timeout(LIMIT, answer).await.expect("in time").expect("no panic")?;
                    Some(collect(answer).await)
                }));
            }
            let mut responses = Vec::new();
            for task in tasks {
                responses.push(task.await.expect("no panic"));
            }
            responses
        })
    }
}

async fn shake<T: Read + Write + Unpin + Send + 'static>(stream: T, h2: bool) -> Sender {
    if h2 {
        let shake = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = shake.expect("HTTP/2");
        tokio::spawn(connection);
        return Sender::Two(sender);
    }
    let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1");
    tokio::spawn(connection);
    Sender::One(sender)
}

async fn collect(answer: hyper::Response<Incoming>) -> Response {
    let (head, mut body) = answer.into_parts();
    let mut text = format!("HTTP {}\r\n", head.status.as_u16());
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\r\n", value.to_str().expect("text"));
    }
    let status = head.status.as_u16();
    let mut response = Response { status, head: text, body: Vec::new(), whole: true };
    while let Some(frame) = timeout(LIMIT, body.frame()).await.expect("in time") {
        match frame {
            Ok(frame) => response.body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => {
                response.whole = false;
                break;
            }
        }
    }
    response
}

/// Believes every certificate, but not that another has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

fn trusting(h2: bool) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    config
}

impl ServerCertVerifier for Anyone {
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
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
