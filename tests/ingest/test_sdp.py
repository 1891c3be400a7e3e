"""Offers as senders make them, and as nobody should."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from aiortc.sdp import SessionDescription

from realtime.errors import BadOffer, NoMediaOffered
from realtime.ingest.addresses import announce
from realtime.ingest.sdp import MAX_ALONE, MAX_CANDIDATES, narrow

HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
TRANSPORT = (
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"
)
RTP = "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\n"
OPUS = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n" + RTP
VP8 = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" + RTP
)
AV1 = "m=video 9 UDP/TLS/RTP/SAVPF 45\r\na=rtpmap:45 AV1/90000\r\n" + RTP
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=sctp-port:5000\r\n"


def section(media: str, mid: str, *, direction: str = "sendonly", transport: str = TRANSPORT) -> str:
    return f"{media}a=mid:{mid}\r\na={direction}\r\n{transport}"


def offer(*sections: str, bundle: str | None = None) -> str:
    group = f"a=group:BUNDLE {bundle}\r\n" if bundle else ""
    return HEAD + group + "".join(sections)


def answered(offer_sdp: str) -> SessionDescription:
    """The widened form of an answer in which everything taken is simply echoed."""
    narrowed = narrow(offer_sdp)
    return SessionDescription.parse(narrowed.widen(narrowed.sdp.replace("sendonly", "recvonly")))


def test_audio_and_video_pass_as_they_are() -> None:
    narrowed = narrow(offer(section(OPUS, "0"), section(VP8, "1"), bundle="0 1"))
    assert narrowed.kinds == ("audio", "video")
    assert "a=group:BUNDLE 0 1\r\n" in narrowed.sdp


@pytest.mark.parametrize(("media", "kind"), [(OPUS, "audio"), (VP8, "video")])
def test_one_track_alone(media: str, kind: str) -> None:
    assert narrow(offer(section(media, "a"), bundle="a")).kinds == (kind,)


def test_what_we_do_not_take_is_held_open_in_its_place() -> None:
    parts = [section(DATA, "d"), section(VP8, "v1"), section(AV1, "v2"), section(OPUS, "a1"), section(OPUS, "a2")]
    whole = answered(offer(*parts, bundle="d v1 v2 a1 a2"))
    assert [media.rtp.muxId for media in whole.media] == ["d", "v1", "v2", "a1", "a2"]
    assert [media.port for media in whole.media] == [9] * 5
    assert [media.direction for media in whole.media] == [None, "recvonly", "inactive", "recvonly", "inactive"]
    assert [group.items for group in whole.group] == [["d", "v1", "v2", "a1", "a2"]]


def test_what_shares_no_transport_with_what_we_take_gets_one_of_its_own() -> None:
    parts = [section(VP8, "v1"), section(VP8, "v2"), section(DATA, "d"), section(OPUS, "a")]
    narrowed = narrow(offer(*parts, bundle="v1 a"))
    assert narrowed.alone.keys() == {1, 2}
    assert [narrowed.is_data_channel(index) for index in narrowed.alone] == [False, True]
    # The data channel's could not be answered.
    alone = {1: narrowed.alone[1].replace("m=audio 9", "m=audio 4001").replace("abcd", "other")}
    whole = SessionDescription.parse(narrowed.widen(narrowed.sdp.replace("sendonly", "recvonly"), alone))
    assert [(media.rtp.muxId, media.port) for media in whole.media] == [("v1", 9), ("v2", 4001), ("d", 0), ("a", 9)]
    assert [media.ice and media.ice.usernameFragment for media in whole.media] == ["abcd", "other", "abcd", "abcd"]
    assert [group.items for group in whole.group] == [["v1", "a"]]


@pytest.mark.parametrize(
    "extra",
    [
        [section(VP8.replace("m=video 9", "m=video 0"), "2")],
        [section(VP8.replace("a=rtcp-mux\r\n", ""), "2")],
        [section(VP8, "2", transport="")],
        [section(VP8, "2", transport=TRANSPORT.replace("sha-256", "sha-1"))],
        [section(DATA.replace("m=application", "m=text"), "2")],
    ],
    ids=["port 0", "no mux", "no transport", "weak fingerprint", "unknown kind"],
)
def test_a_section_that_could_not_be_connected_gets_no_transport(extra: list[str]) -> None:
    narrowed = narrow(offer(section(OPUS, "0"), section(VP8, "1"), *extra))
    assert narrowed.kinds == ("audio", "video")
    assert narrowed.alone == {}


def test_transports_that_carry_nothing_are_bounded() -> None:
    parts = [section(VP8, str(mid)) for mid in range(40)]
    assert len(narrow(offer(*parts)).alone) == MAX_ALONE


def test_the_first_section_of_the_bundle_has_the_addresses_though_we_do_not_take_it() -> None:
    """Field report 10: a stack that bundles reads the candidates there alone."""
    candidate = "a=candidate:1 1 udp 1 192.0.2.1 4001 typ host\r\n"
    whole = answered(offer(section(DATA, "d"), section(OPUS, "a") + candidate, bundle="d a"))
    assert [len(media.ice_candidates) for media in whole.media] == [1, 1]


def test_the_first_video_we_can_decode_is_taken() -> None:
    assert narrow(offer(section(AV1, "x"), section(VP8, "y"), bundle="x y")).sdp.count("m=video") == 1


def test_bundled_sections_may_leave_their_transport_to_the_first() -> None:
    only = VP8.replace("m=video 9", "m=video 0") + "a=bundle-only\r\n"
    narrowed = narrow(offer(section(OPUS, "0"), section(only, "1", transport=""), bundle="0 1"))
    assert narrowed.kinds == ("audio", "video")
    assert narrowed.sdp.count("a=ice-ufrag:abcd") == 2


def test_transport_and_direction_of_the_whole_session() -> None:
    head = HEAD.rstrip() + "\r\n" + TRANSPORT + "a=sendonly\r\n"
    assert narrow(head + OPUS + "a=mid:0\r\n").kinds == ("audio",)


def test_without_a_bundle_there_is_none_in_the_answer() -> None:
    assert "BUNDLE" not in narrow(offer(section(OPUS, "0"))).widen(HEAD + "a=group:BUNDLE 0\r\n" + section(OPUS, "0"))


def test_candidates_are_bounded() -> None:
    candidates = "".join(f"a=candidate:{n} 1 udp 1 192.0.2.1 {n + 1024} typ host\r\n" for n in range(500))
    assert narrow(offer(section(OPUS, "0") + candidates)).sdp.count("a=candidate:") == MAX_CANDIDATES


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "nonsense",
        "1 1 udp x 192.0.2.1 5000 typ host",
        "1 1 udp 1 192.0.2.1 port typ host",
        "1 1 udp 1 192.0.2.1 70000 typ host",
        "1 1 udp 1 192.0.2.1 0 typ host",
        "1 1 udp 1 300.0.2.1 5000 typ host",
        "1 1 udp 1 sender.example 5000 typ host",
        "1 1 udp 1 192.0.2.1 5000 typ srflx raddr 10.0.0.1 rport many",
    ],
)
def test_a_candidate_that_cannot_be_used_is_left_out_and_counted(bad: str) -> None:
    """Field report: one bad line refused the whole offer."""
    good = "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\na=candidate:2 1 udp 1 a-b.local 5000 typ host\r\n"
    narrowed = narrow(offer(section(OPUS, "0") + f"a=candidate:{bad}\r\n" + good))
    assert "".join(f"{line}\r\n" for line in narrowed.sdp.splitlines() if "candidate:" in line) == good
    assert narrowed.candidate_kinds == "2 host, 1 unusable"


@pytest.mark.parametrize(
    "spare",
    [
        "a=ssrc:1",
        "a=ssrc:first cname:x",
        "a=ssrc-group:FID a b",
        "a=extmap:3 urn:ietf:params:rtp-hdrext:encrypt urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap",
        "a=rtcp:nine IN IP4 0.0.0.0",
        "a=rtcp-fb:111",
        "a=rtpmap:97",
        "a=rtpmap:97 FOO",
        "a=fmtp:77 minptime=10",
        "a=fmtp:111",
        "a=fingerprint:sha-256",
        "c=IN",
    ],
)
def test_a_line_that_nothing_depends_on_refuses_no_sender(spare: str) -> None:
    """Of an fmtp without its rtpmap was said "The audio section of the offer cannot be read (StopIteration)"."""
    narrowed = narrow(offer(section(OPUS, "0") + f"{spare}\r\n"))
    assert narrowed.kinds == ("audio",)
    assert spare not in narrowed.sdp.splitlines()
    assert narrowed.n_unusable == 0


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("", "not SDP"),
        ("hello", "not SDP"),
        ("<html></html>", "not SDP"),
        (offer(section(OPUS, "0") + "a=mid:1\r\n"), "one a=mid"),
        (offer(section(OPUS, "0 0")), "one a=mid"),
        (offer(section(OPUS, "\x85")), "control characters"),
        (offer(section(OPUS, "0", transport="")), "ice-ufrag"),
        (offer(section(OPUS, "0", transport=TRANSPORT.replace("abcd", "a" * 300))), "ice-ufrag"),
        (offer(section(OPUS, "0", transport=TRANSPORT.replace("a=setup:actpass\r\n", ""))), "a=setup"),
        (offer(section(OPUS, "0", transport=TRANSPORT.replace("actpass", "holdconn"))), "cannot be read"),
        (offer(section(OPUS, "0", transport=TRANSPORT.replace("sha-256", "md5"))), "fingerprint"),
        (offer(section(OPUS.replace("a=rtcp-mux\r\n", ""), "0")), "rtcp-mux"),
        (offer(section(OPUS.replace("111", "x"), "0")), "cannot be read"),
        (offer(section(OPUS, "0"), section(VP8, "0")), "both called"),
    ],
)
def test_a_broken_offer_is_refused_with_the_reason(bad: str, says: str) -> None:
    with pytest.raises(BadOffer, match=says) as refused:
        narrow(bad)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("useless", "says"),
    [
        (HEAD, "no media section"),
        (offer(section(DATA, "0")), "neither an audio nor a video"),
        (offer(section(AV1, "0")), "AV1"),
        (offer(section(OPUS, "0", direction="recvonly")), "does not send"),
        (offer(section(OPUS.replace("m=audio 9", "m=audio 0"), "0")), "port 0"),
    ],
)
def test_an_offer_we_cannot_use_says_what_to_send(useless: str, says: str) -> None:
    with pytest.raises(NoMediaOffered, match=says) as refused:
        narrow(useless)
    assert "VP8" in refused.value.hint


def test_damaged_offers_never_surprise() -> None:
    """Lines dropped, doubled, swapped and cut at random: taken or refused, never anything else."""
    whole = offer(section(OPUS, "0"), section(VP8, "1"), section(DATA, "2"), bundle="0 1 2").splitlines()
    rng = random.Random(0)
    for _ in range(500):
        lines = list(whole)
        for _ in range(rng.randint(1, 4)):
            index = rng.randrange(len(lines))
            match rng.randrange(4):
                case 0:
                    del lines[index]
                case 1:
                    lines.insert(index, lines[rng.randrange(len(lines))])
                case 2:
                    lines[index] = lines[index][: rng.randrange(len(lines[index]) + 1)]
                case _:
                    lines[index] = lines[index].translate({ord(rng.choice("01:/ =")): rng.choice(["", "9", "é", "\0"])})
        with suppress(BadOffer):
            narrow("\r\n".join(lines))


ANSWER = (
    "v=0\r\nc=IN IP4 10.0.0.5\r\nm=audio 1 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 10.0.0.5\r\na=rtcp:9 IN IP4 10.0.0.5\r\n"
    "a=candidate:1 1 udp 2130706431 10.0.0.5 4001 typ host\r\n"
    "a=candidate:2 1 udp 2130706431 fd00::5 4002 typ host\r\n"
    "a=candidate:3 1 udp 1694498815 198.51.100.9 4003 typ srflx raddr 10.0.0.5 rport 4001\r\n"
    "a=candidate:4 1 udp 2130706431 8.8.4.4 4004 typ host\r\n"
)


def test_an_answer_names_no_private_address() -> None:
    told = announce(ANSWER.replace("198.51.100.9", "8.8.8.8"), reached=None)
    assert "10.0.0.5" not in told
    assert "fd00::" not in told
    assert "8.8.8.8 4003 typ srflx raddr 0.0.0.0 rport 0" in told
    assert "8.8.4.4 4004 typ host" in told
    assert told.endswith("\r\n")


def test_an_answer_names_the_address_that_the_peer_came_to_or_the_public_one() -> None:
    assert "a=candidate:1 1 udp 2130706431 10.0.0.5 4001 typ host" in announce(ANSWER, reached="10.0.0.5")
    told = announce(ANSWER, reached=None, public_address="8.8.8.8")
    assert "a=candidate:1 1 udp 2130706431 8.8.8.8 4001 typ host" in told
    assert "10.0.0.5" not in told
    assert "fd00::5" not in told


def test_a_byte_order_mark_and_spaces_that_do_not_break_are_read() -> None:
    """Field report 22: what an editor or a web page leaves in a copied offer was called control characters."""
    whole = offer(section(OPUS, "0"), section(VP8, "1"), bundle="0 1")
    assert narrow("\ufeff" + whole.replace("a=rtpmap:111 ", "a=rtpmap:111\u00a0")).sdp == narrow(whole).sdp


@pytest.mark.parametrize("mark", ["\u200b", "\u200d", "\u2060", "\ufeff"])
def test_marks_without_width_and_a_last_nul_are_left_out(mark: str) -> None:
    """Field report 22: the same, of a web page that lets lines break, and of a program that sends its string whole."""
    whole = offer(section(OPUS, "0"), section(VP8, "1"), bundle="0 1")
    assert narrow(whole.replace("a=rtpmap:111 ", f"a=rtpmap:{mark}111 ") + "\0").sdp == narrow(whole).sdp


def test_another_name_of_the_same_transport_is_echoed() -> None:
    """Field report 22: `RTP/SAVPF` is what WebRTC called it at first; stacks compare it."""
    old = offer(section(OPUS.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF"), "0"), bundle="0")
    answer = narrow(old).widen(offer(section(OPUS, "0"), bundle="0"))
    assert "m=audio 9 RTP/SAVPF 111\r\n" in answer


def test_sections_without_a_mid_are_answered_without_one() -> None:
    """Field report 22: a mid is optional where nothing is bundled."""
    bare = offer(OPUS + "a=sendonly\r\n" + TRANSPORT, VP8 + "a=sendonly\r\n" + TRANSPORT)
    narrowed = narrow(bare)
    assert narrowed.kinds == ("audio", "video")
    assert "a=mid:0\r\n" in narrowed.sdp
    assert "a=mid:1\r\n" in narrowed.sdp
    answer = narrowed.widen(narrowed.sdp.replace("a=sendonly", "a=recvonly"))
    assert "a=mid" not in answer
    assert "BUNDLE" not in answer


@pytest.mark.parametrize("payload", ["0", "8", "9"])
def test_static_payload_types_need_no_rtpmap(payload: str) -> None:
    bare = OPUS.replace(" 111\r\n", f" {payload}\r\n").replace(
        "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n", ""
    )
    assert narrow(offer(section(bare, "0"))).kinds == ("audio",)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("profile-level-id=58201f;packetization-mode=1", "profile-level-id=58201f"),
        ("profile-level-id=42e01f;packetization-mode=2", "packetization-mode=2"),
        ("profile-level-id=high", "profile-level-id=high"),
    ],
)
def test_h264_that_cannot_be_decoded_is_named(parameters: str, named: str) -> None:
    """Field report 9: a refusal said `H264`, which we do decode."""
    media = f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 {parameters}\r\n" + RTP
    with pytest.raises(NoMediaOffered, match=f"offers H264 with {named}"):
        narrow(offer(section(media, "0")))


@pytest.mark.parametrize("bundle", ["0 1", "0 1 2 3"], ids=["rejected", "held open"])
def test_a_section_not_taken_has_what_stacks_look_for(bundle: str) -> None:
    """Field report 10: aiortc and werift refused answers with sections that had no transport and no codec."""
    parts = [section(OPUS, "0"), section(VP8, "1"), section(VP8, "2"), section(DATA, "3")]
    _, _, video, data = answered(offer(*parts, bundle=bundle)).media
    for media in (video, data):
        assert media.ice is not None
        assert media.ice.usernameFragment
        assert media.ice.password
        assert media.dtls is not None
        assert media.dtls.fingerprints
    assert [codec.name for codec in video.rtp.codecs] == ["VP8", "rtx"]
    assert (data.profile, data.fmt, data.sctp_port) == ("UDP/DTLS/SCTP", ["webrtc-datachannel"], 5000)
