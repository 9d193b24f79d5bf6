//! What kind of address an IP address is, and which kinds a grant opens.
//!
//! The tables follow the IANA special-purpose registries
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry> and
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>, with RFC 6890, 8190 and 9637) and
//! the clouds' documented metadata addresses. IPv6 is an allow list: outside global unicast
//! (2000::/3) and the well-known NAT64 prefix nothing is public. Addresses that carry an IPv4
//! address are unwrapped, and what they carry decides first.
//!
//! Not seen here: a network's *own* NAT64 prefix (RFC 6052, section 2.2) looks like any global
//! address, and the host's own public addresses are public.

use Class::*;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for; everything but [`Class::Public`] needs a grant that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Globally reachable.
    Public,
    /// The host itself: 127.0.0.0/8, ::1.
    Loopback,
    /// A private network (RFC 1918).
    Private,
    /// A carrier's shared space 100.64.0.0/10 (RFC 6598), used inside clouds and meshes too.
    Shared,
    /// A private network in IPv6: fc00::/7 (RFC 4193) and the former fec0::/10.
    UniqueLocal,
    /// This link alone: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// Hands out a cloud machine's credentials and configuration.
    Metadata,
    /// A group: 224.0.0.0/4, ff00::/8.
    Multicast,
    /// Everyone on the link: 255.255.255.255.
    Broadcast,
    /// No address: 0.0.0.0 and ::, which Linux connects to itself.
    Unspecified,
    /// Made for examples.
    Documentation,
    /// Made for benchmarks (RFC 2544, RFC 5180).
    Benchmarking,
    /// A tunnel or translation of IPv4 that no host needs: 6to4, Teredo, ISATAP, local NAT64.
    Transition,
    /// Set aside by IANA for something else.
    Reserved,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Public => "public",
            Loopback => "loopback",
            Private => "private",
            Shared => "shared",
            UniqueLocal => "unique-local",
            LinkLocal => "link-local",
            Metadata => "cloud metadata",
            Multicast => "multicast",
            Broadcast => "broadcast",
            Unspecified => "unspecified",
            Documentation => "documentation",
            Benchmarking => "benchmarking",
            Transition => "IPv4-in-IPv6 transition",
            Reserved => "reserved",
        })
    }
}

/// The non-public addresses that a matching grant opens; public ones are always open to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reach {
    named: bool,
    loopback: bool,
    private: bool,
}

impl Reach {
    /// Public addresses alone.
    pub const PUBLIC: Self = Self {
        named: false,
        loopback: false,
        private: false,
    };
    /// The very address that the grant and the request both name, whatever it is.
    pub const NAMED_ADDRESS: Self = Self {
        named: true,
        loopback: false,
        private: false,
    };
    /// Loopback addresses, for the name `localhost`.
    pub const LOOPBACK: Self = Self {
        named: false,
        loopback: true,
        private: false,
    };
    /// Private-use networks, for a `private:` grant.
    pub const PRIVATE: Self = Self {
        named: false,
        loopback: false,
        private: true,
    };

    /// What either grant opens: two grants of one holder.
    pub fn union(self, other: Self) -> Self {
        Self {
            named: self.named || other.named,
            loopback: self.loopback || other.loopback,
            private: self.private || other.private,
        }
    }

    /// What both open: two holders that must agree.
    pub fn intersection(self, other: Self) -> Self {
        Self {
            named: self.named && other.named,
            loopback: self.loopback && other.loopback,
            private: self.private && other.private,
        }
    }

    /// Whether an address of this class may be connected to.
    pub fn permits(self, class: Class) -> bool {
        if self.named {
            return true;
        }
        match class {
            Public => true,
            Loopback => self.loopback,
            Private | Shared | UniqueLocal => self.private,
            LinkLocal | Metadata | Multicast | Broadcast | Unspecified | Documentation
            | Benchmarking | Transition | Reserved => false,
        }
    }
}

/// Says what an address is; an IPv4 address inside an IPv6 one is unwrapped first.
pub fn classify(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

/// A block of addresses: the first one, the length of the prefix in bits, what it is for.
type Block<T> = (T, u32, Class);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// The first block that holds an address decides, so single addresses stand before their blocks.
const V4: &[Block<Ipv4Addr>] = &[
    (v4(169, 254, 169, 254), 32, Metadata), // AWS, Azure, Google Cloud, Oracle and most others
    (v4(169, 254, 170, 2), 32, Metadata),   // AWS ECS task credentials
    (v4(169, 254, 170, 23), 32, Metadata),  // AWS EKS pod identity
    (v4(169, 254, 169, 123), 32, Metadata), // AWS time service
    (v4(169, 254, 169, 253), 32, Metadata), // AWS resolver
    (v4(169, 254, 42, 42), 32, Metadata),   // Scaleway
    (v4(169, 254, 0, 23), 32, Metadata),    // Tencent Cloud
    (v4(100, 100, 100, 200), 32, Metadata), // Alibaba Cloud
    (v4(192, 0, 0, 192), 32, Metadata),     // Oracle Cloud, classic
    (v4(168, 63, 129, 16), 32, Metadata),   // Azure's wire server, in otherwise public space
    (v4(0, 0, 0, 0), 32, Unspecified),
    (v4(0, 0, 0, 0), 8, Reserved),
    (v4(10, 0, 0, 0), 8, Private),
    (v4(100, 64, 0, 0), 10, Shared),
    (v4(127, 0, 0, 0), 8, Loopback),
    (v4(169, 254, 0, 0), 16, LinkLocal),
    (v4(172, 16, 0, 0), 12, Private),
    (v4(192, 0, 0, 0), 24, Reserved),
    (v4(192, 0, 2, 0), 24, Documentation),
    (v4(192, 88, 99, 0), 24, Transition), // 6to4 relays, withdrawn by RFC 7526
    (v4(192, 168, 0, 0), 16, Private),
    (v4(198, 18, 0, 0), 15, Benchmarking),
    (v4(198, 51, 100, 0), 24, Documentation),
    (v4(203, 0, 113, 0), 24, Documentation),
    (v4(224, 0, 0, 0), 4, Multicast),
    (v4(255, 255, 255, 255), 32, Broadcast),
    (v4(240, 0, 0, 0), 4, Reserved),
];

const fn v6(a: u16, b: u16, c: u16, d: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

/// Blocks that say what they are whatever an embedded IPv4 address says.
const V6: &[Block<Ipv6Addr>] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Loopback),
    (
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        128,
        Metadata,
    ), // AWS
    (
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
        128,
        Metadata,
    ), // AWS EKS pod identity
    (
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123),
        128,
        Metadata,
    ), // AWS time service
    (
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253),
        128,
        Metadata,
    ), // AWS resolver
    (
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        128,
        Metadata,
    ), // Google Cloud
    (
        Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
        128,
        Metadata,
    ), // Scaleway
    (
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
        128,
        Metadata,
    ), // OpenStack
    (v6(0xfe80, 0, 0, 0), 10, LinkLocal),
    (v6(0xfec0, 0, 0, 0), 10, UniqueLocal),
    (v6(0xfc00, 0, 0, 0), 7, UniqueLocal),
    (v6(0xff00, 0, 0, 0), 8, Multicast),
    (v6(0x100, 0, 0, 0), 64, Reserved), // discard only (RFC 6666)
    (v6(0x2001, 2, 0, 0), 48, Benchmarking),
    (v6(0x2001, 0xdb8, 0, 0), 32, Documentation),
    (v6(0x3fff, 0, 0, 0), 20, Documentation),
];

fn classify_v4(address: Ipv4Addr) -> Class {
    let bits = u128::from(address.to_bits());
    let within =
        |block: &&Block<Ipv4Addr>| same_prefix(bits, u128::from(block.0.to_bits()), 32 - block.1);
    V4.iter().find(within).map_or(Public, |block| block.2)
}

fn classify_v6(address: Ipv6Addr) -> Class {
    let bits = address.to_bits();
    let within = |block: &&Block<Ipv6Addr>| same_prefix(bits, block.0.to_bits(), 128 - block.1);
    if let Some(block) = V6.iter().find(within) {
        return block.2;
    }
    if let Some((carried, unless)) = carried_v4(address) {
        let classes = carried.map(classify_v4);
        return classes
            .into_iter()
            .find(|class| *class != Public)
            .unwrap_or(unless);
    }
    // 2001::/23 is for protocols, none of which a guest speaks; the rest of 2000::/3 is unicast.
    if same_prefix(bits, v6(0x2001, 0, 0, 0).to_bits(), 128 - 23) {
        return Reserved;
    }
    if same_prefix(bits, v6(0x2000, 0, 0, 0).to_bits(), 128 - 3) {
        Public
    } else {
        Reserved
    }
}

/// Whether two addresses agree in all but the lowest bits.
fn same_prefix(left: u128, right: u128, low_bits: u32) -> bool {
    (left ^ right).checked_shr(low_bits).unwrap_or(0) == 0
}

/// The IPv4 addresses that an IPv6 address carries (twice the same where it carries one), and what
/// the whole is when both are public.
fn carried_v4(address: Ipv6Addr) -> Option<([Ipv4Addr; 2], Class)> {
    let s = address.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    let last = pair(s[6], s[7]);
    match s {
        // IPv4-mapped (RFC 4291, 2.5.5.2): connects over IPv4.
        [0, 0, 0, 0, 0, 0xffff, ..] => Some(([last; 2], Public)),
        // IPv4-compatible (RFC 4291, 2.5.5.1) and IPv4-translated (RFC 2765): both withdrawn.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(([last; 2], Transition)),
        // NAT64 (RFC 6052): the only way to IPv4 in an IPv6-only network.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(([last; 2], Public)),
        // NAT64 of a network's own (RFC 8215). A prefix of 96 carries it at the end, one of 48
        // around bits 64 to 71, which are zero (RFC 6052, section 2.2).
        [0x64, 0xff9b, 1, ..] => Some(([last, pair(s[3], (s[4] << 8) | (s[5] >> 8))], Transition)),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => Some(([pair(high, low); 2], Transition)),
        // Teredo (RFC 4380): its server, and the client with all bits turned.
        [0x2001, 0, ..] => Some(([pair(s[2], s[3]), pair(!s[6], !s[7])], Transition)),
        // ISATAP (RFC 5214): 00-00-5E-FE in the interface identifier, whatever its u and g bits.
        [.., universal, 0x5efe, _, _] if universal & 0xfcff == 0 => Some(([last; 2], Transition)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(text: &str) -> Class {
        classify(
            text.parse()
                .unwrap_or_else(|_| panic!("{text} is an address")),
        )
    }

    #[test]
    fn each_special_block_is_recognised() {
        for (text, want) in [
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("::1", Loopback),
            ("10.0.0.1", Private),
            ("172.16.0.1", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Shared),
            ("100.127.255.255", Shared),
            ("169.254.1.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("fd00::1", UniqueLocal),
            ("fc00::1", UniqueLocal),
            ("fec0::1", UniqueLocal),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("ff02::1", Multicast),
            ("255.255.255.255", Broadcast),
            ("0.0.0.0", Unspecified),
            ("::", Unspecified),
            ("0.1.2.3", Reserved),
            ("240.0.0.1", Reserved),
            ("192.0.0.8", Reserved),
            ("100::1", Reserved),
            ("5f00::1", Reserved),
            ("4000::1", Reserved),
            ("2001:20::1", Reserved),
            ("192.88.99.1", Transition),
            ("192.0.2.1", Documentation),
            ("198.51.100.1", Documentation),
            ("203.0.113.1", Documentation),
            ("2001:db8::1", Documentation),
            ("3fff:fff::1", Documentation),
            ("198.18.0.1", Benchmarking),
            ("198.19.255.255", Benchmarking),
            ("2001:2::1", Benchmarking),
        ] {
            assert_eq!(class(text), want, "{text}");
        }
    }

    #[test]
    fn addresses_beside_the_blocks_are_public() {
        for text in [
            "8.8.8.8",
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "2620:4f:8000::1",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(class(text), Public, "{text}");
        }
    }

    #[test]
    fn carried_addresses_decide() {
        for text in [
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::127.0.0.1",
            "2002:7f00:1::",
            "2002:7f00:1::5",
            "2001:0:0808:0808:0:0:80ff:fffe",
            "2001:0:7f00:1::",
            "2a00::5efe:127.0.0.1",
            "2a00::200:5efe:127.0.0.1",
            "2a00::300:5efe:127.0.0.1",
        ] {
            assert_eq!(class(text), Loopback, "{text}");
        }
        assert_eq!(class("64:ff9b::169.254.169.254"), Metadata);
        assert_eq!(class("2002:a00:1::"), Private);
        for text in [
            "64:ff9b:1:7f00:0:100::",
            "::8.8.8.8",
            "2002:808:808::1",
            "2001:0:808:808::f7f7:f7f7",
            "64:ff9b:1::8.8.8.8",
            "2a00::5efe:8.8.8.8",
            "::ffff:0:8.8.8.8",
        ] {
            assert_ne!(class(text), Public, "{text}");
        }
    }

    #[test]
    fn a_reach_opens_what_it_says() {
        for class in [
            Public,
            Loopback,
            Private,
            Shared,
            UniqueLocal,
            LinkLocal,
            Metadata,
        ] {
            assert!(Reach::NAMED_ADDRESS.permits(class));
            assert_eq!(Reach::PUBLIC.permits(class), class == Public);
            assert_eq!(
                Reach::LOOPBACK.permits(class),
                matches!(class, Public | Loopback)
            );
            let private = matches!(class, Public | Private | Shared | UniqueLocal);
            assert_eq!(Reach::PRIVATE.permits(class), private);
        }
        assert_eq!(
            Reach::NAMED_ADDRESS.intersection(Reach::PUBLIC),
            Reach::PUBLIC
        );
        assert!(Reach::PRIVATE.union(Reach::LOOPBACK).permits(Loopback));
    }

    /// An address out of a block of the table, so nearly always a special one.
    fn special_v4() -> impl Strategy<Value = Ipv4Addr> {
        (0..V4.len(), any::<u32>()).prop_map(|(index, random)| {
            let (base, prefix, _) = V4[index];
            let host_bits = u32::MAX.checked_shr(prefix).unwrap_or(0);
            Ipv4Addr::from_bits(base.to_bits() | (random & host_bits))
        })
    }

    /// Every way that an IPv6 address carries an IPv4 one; `noise` fills what is free.
    fn embeddings(v4: Ipv4Addr, noise: u128) -> Vec<Ipv6Addr> {
        let v4 = u128::from(v4.to_bits());
        let prefix = |high: u16, low: u16| (u128::from(high) << 112) | (u128::from(low) << 96);
        let free = |mask: u128| noise & mask;
        let nat64_local = prefix(0x64, 0xff9b) | (1 << 80);
        [
            (0xffff << 32) | v4,
            v4,
            (0xffff << 48) | v4,
            prefix(0x64, 0xff9b) | v4,
            nat64_local | free(0xffff_ffff_ffff << 32) | v4,
            nat64_local | ((v4 >> 16) << 64) | ((v4 & 0xffff) << 40) | free((1 << 40) - 1),
            (0x2002 << 112) | (v4 << 80) | free((1 << 80) - 1),
            prefix(0x2001, 0) | (v4 << 64) | free((1 << 64) - 1),
            prefix(0x2001, 0) | free(((1 << 64) - 1) << 32) | (v4 ^ 0xffff_ffff),
            (0x2a00 << 112) | free(((1 << 48) - 1) << 64) | (0x5efe << 32) | v4,
            (0x2a00 << 112) | free(((1 << 48) - 1) << 64) | (0x0200_5efe << 32) | v4,
        ]
        .map(Ipv6Addr::from_bits)
        .into()
    }

    proptest! {
        #[test]
        fn every_embedding_of_a_special_v4_is_special(v4 in special_v4(), noise: u128) {
            prop_assert_ne!(classify(v4.into()), Public);
            for v6 in embeddings(v4, noise) {
                prop_assert_ne!(classify(v6.into()), Public, "{} in {}", v4, v6);
            }
        }

        #[test]
        fn every_public_v6_is_global_unicast_or_carries_a_public_v4(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            if classify(address.into()) == Public {
                let first = address.segments()[0];
                prop_assert!((0x2000..0x4000).contains(&first) || carried_v4(address).is_some());
            }
        }

        #[test]
        fn std_never_knows_better(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified()
            {
                prop_assert_ne!(classify(v4.into()), Public);
            }
        }
    }
}
