use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gannet_protocols_model::Timestamp;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::*;
use crate::{Authority, peer_identity};

fn authority(dir: &Path) -> Authority {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Authority::open_or_create(dir, at(now)).unwrap()
}

fn at(now: Duration) -> Timestamp {
    Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap())
}

fn now() -> Timestamp {
    at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}

/// One connection over loopback: the name that the server saw, or what either side said against it.
fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Result<Option<String>, String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(server).unwrap(), socket);
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(|e| e.to_string())?;
        stream.write_all(&byte).map_err(|e| e.to_string())?;
        let peer = stream.conn.peer_certificates().and_then(<[_]>::first);
        Ok(peer.map(|der| peer_identity(der).unwrap().common_name))
    });
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(client, name).unwrap(), socket);
    let mut byte = [7];
    let exchanged =
        stream.write_all(&byte).and_then(|()| stream.read_exact(&mut byte)).map_err(|e| e.to_string());
    let seen: Result<Option<String>, String> = serving.join().unwrap();
    exchanged.and(seen)
}

#[test]
fn who_gets_in() {
    let (home, abroad) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, foreign) = (authority(home.path()), authority(abroad.path()));
    let here = ours.issue_server(&["127.0.0.1".into()], now()).unwrap();
    let elsewhere = ours.issue_server(&["10.9.9.9".into()], now()).unwrap();
    let admin = ours.issue_client("admin", &["system:masters"], now()).unwrap();
    let stranger = foreign.issue_client("admin", &["system:masters"], now()).unwrap();

    let check = |server: &Identity,
                 clients,
                 trusts: &Authority,
                 client: Option<&Identity>,
                 expected: Result<Option<&str>, ()>| {
        let server = server_config(server, ours.ca_pem(), clients).unwrap();
        let client = client_config(trusts.ca_pem(), client).unwrap();
        let found = handshake(server, client);
        assert_eq!(found.as_ref().map(Option::as_deref).map_err(|_| ()), expected, "{found:?}");
    };
    check(&here, ClientAuth::Required, &ours, Some(&admin), Ok(Some("admin")));
    check(&here, ClientAuth::Required, &ours, Some(&here), Ok(Some("127.0.0.1")));
    check(&here, ClientAuth::Required, &ours, None, Err(()));
    check(&here, ClientAuth::Required, &ours, Some(&stranger), Err(()));
    check(&here, ClientAuth::Optional, &ours, None, Ok(None));
    check(&here, ClientAuth::Optional, &ours, Some(&admin), Ok(Some("admin")));
    check(&here, ClientAuth::Optional, &ours, Some(&stranger), Err(()));
    check(&here, ClientAuth::None, &ours, Some(&admin), Ok(None));
    // A client of another fleet does not believe this server, and nobody a server with another name or a client's certificate.
    check(&here, ClientAuth::None, &foreign, None, Err(()));
    check(&elsewhere, ClientAuth::None, &ours, None, Err(()));
    check(&admin, ClientAuth::None, &ours, None, Err(()));
}
