//! All tests of `dsc-link` in one program, which is linked once; a file by its name: `cargo test -p dsc-link NAME::`.

mod around;
mod bad_input;
mod daemon;
mod ftp;
mod ftp_backend;
mod ftp_program;
mod ftp_random;
mod ftp_refused;
mod ftp_session;
mod ftp_upload;
mod ftp_vsftpd;
mod ftpd;
mod handover;
mod http2;
mod http2_nginx;
mod http2_shared;
mod manual;
mod net;
mod random;
mod relay;
mod rest;
mod resume;
mod slow;
mod tls;
mod upgrade;
mod upload;
