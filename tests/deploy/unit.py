"""Holds the unit's list of addresses to what a machine needs: name servers that clouds put on link-local addresses stay, secrets do not."""

import ipaddress
import pathlib
import re
import sys

# Who asks them gets a machine's identity: EC2 and most others, ECS, EKS, EC2 over IPv6, EKS over IPv6, Alibaba, Oracle.
SECRETS = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "192.0.0.192"]
# Name servers: EC2, EC2 over IPv6, NodeLocal DNSCache, kubespray's, systemd's own.
RESOLVERS = ["169.254.169.253", "fd00:ec2::253", "169.254.20.10", "169.254.25.10", "127.0.0.53"]

text = pathlib.Path(sys.argv[1]).read_text()
denied = [ipaddress.ip_network(word) for line in re.findall(r"^IPAddressDeny=(.*)$", text, re.M) for word in line.split()]


def is_denied(address):
    return any(ipaddress.ip_address(address) in network for network in denied)


wrong = [f"{address} gives secrets and is open" for address in SECRETS if not is_denied(address)]
wrong += [f"{address} resolves names and is cut off" for address in RESOLVERS if is_denied(address)]
if wrong:
    sys.exit("\n".join([f"{sys.argv[1]}:", *wrong]))
