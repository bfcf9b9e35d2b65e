//! A dumb TCP pipe, the floor of the comparison: it copies bytes both ways and reads none of them.
//!
//! Called as `pipe LISTEN STABLE CANARY`. Every tenth connection goes to the canary, since a pipe knows no requests.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that one read may bring; 1 KiB answers fit whole, as in the proxies it is compared with.
const BUFFER: usize = 16 * 1024;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(addresses()?))
}

/// The three addresses of the command line.
fn addresses() -> std::io::Result<[SocketAddr; 3]> {
    let addresses: Result<Vec<SocketAddr>, _> = std::env::args().skip(1).map(|argument| argument.parse()).collect();
    addresses.ok().and_then(|list| list.try_into().ok()).ok_or_else(|| std::io::Error::other("usage: pipe LISTEN STABLE CANARY"))
}

async fn serve([listen, stable, canary]: [SocketAddr; 3]) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let mut accepted: u64 = 0;
    loop {
        let (client, _) = listener.accept().await?;
        accepted += 1;
        let upstream = if accepted.is_multiple_of(10) { canary } else { stable };
        // A connection that breaks ends with its task; the load generator counts it.
        tokio::spawn(join(client, upstream));
    }
}

async fn join(mut client: TcpStream, upstream: SocketAddr) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (client, upstream) = (client.split(), upstream.split());
    tokio::try_join!(copy(client.0, upstream.1), copy(upstream.0, client.1))?;
    Ok(())
}

async fn copy(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            n => to.write_all(buffer.get(..n).unwrap_or_default()).await?,
        }
    }
}
