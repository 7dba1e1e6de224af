//! The arguments of `egrets serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{ConfigFileArgs, DbArgs};

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the page's address, which has a secret in it. For example:\n  \
    sudo egrets serve\n  \
    sudo egrets serve --since 24h to public IPs\n  \
    egrets serve --db ci.db --listen 127.0.0.1:0\n\
    From another machine: ssh -L 8417:127.0.0.1:8417 HOST, and the same address there.\n\
    docs/serve.md describes the page, and what keeps others from it."
)]
pub struct ServeArgs {
    /// What the page shows first: only what this question selects, e.g. "curl"
    #[arg(value_name = "QUESTION")]
    pub question: Vec<String>,
    /// And since when; "" is the beginning
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub since: String,
    /// Where browsers connect to; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8417")]
    pub listen: SocketAddr,
    /// Listen on a Unix socket instead, which is yours alone
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "listen")]
    pub socket: Option<PathBuf>,
    /// Allow --listen an address that other machines may reach; nothing is encrypted
    #[arg(long)]
    pub allow_remote: bool,
    /// The file with the secret, written if it is missing [default: another one each time]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub db: DbArgs,
    #[command(flatten)]
    pub config: ConfigFileArgs,
}
