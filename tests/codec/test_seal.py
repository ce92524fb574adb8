from __future__ import annotations

import hashlib
import os
import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.private_file import is_open_to_others
from stream_retrain.codec.seal import Header, Versions, seal, unseal
from stream_retrain.errors import SettingsError, StateError

OLD, NEW = Key(id="2026-01", secret=b"o" * 32), Key(id="2026-02", secret=b"n" * 32)
SIGNED, UNSIGNED = Keyring(keys=(OLD,)), Keyring.unsigned()
VERSIONS = Versions(stream_retrain="0.1.0", river="0.26.1", python="3.11.7", numpy="2.4.6")


def header(offset: int = 4711, extra: dict[str, str] | None = None) -> Header:
    return Header(
        kind="checkpoint", pipeline="flights", pipeline_digest="abc", topic="flights.events", partition=3,
        offset=offset, generation=2, versions=VERSIONS, extra=extra or {},
    )  # fmt: skip


class TestRoundTrip:
    @pytest.mark.parametrize("keyring", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
    @given(payload=st.binary(), extra=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
    def test_what_was_sealed_comes_back(self, keyring: Keyring, payload: bytes, extra: dict[str, str]) -> None:
        sealed = seal(header(extra=extra), payload, keyring)
        assert unseal(sealed, keyring) == (header(extra=extra), payload)

    def test_the_same_is_sealed_into_the_same_bytes(self) -> None:
        assert seal(header(), b"payload", SIGNED) == seal(header(), b"payload", SIGNED)

    def test_a_header_too_long_is_refused(self) -> None:
        with pytest.raises(ValueError, match="put less into `extra`"):
            seal(header(extra={"note": "x" * 70_000}), b"", SIGNED)


class TestTampering:
    @pytest.mark.parametrize("keyring", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
    def test_any_changed_byte_is_noticed(self, keyring: Keyring) -> None:
        sealed = seal(header(), b"payload", keyring)
        for at in range(len(sealed)):
            for flip in (1, 0x20, 0x80):
                with pytest.raises(StateError, match=r"^Checkpoint X .*delete it"):
                    unseal(sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :], keyring, where="Checkpoint X")

    @pytest.mark.parametrize("keyring", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
    def test_any_cut_or_addition_is_noticed(self, keyring: Keyring) -> None:
        sealed = seal(header(), b"payload", keyring)
        for size in range(len(sealed)):
            with pytest.raises(StateError):
                unseal(sealed[:size], keyring)
        with pytest.raises(StateError, match="cut short or damaged"):
            unseal(sealed + b"!", keyring)

    def test_a_header_or_payload_of_another_blob_does_not_fit(self) -> None:
        one, other = seal(header(offset=1111), b"payload 1", SIGNED), seal(header(offset=2222), b"payload 2", SIGNED)
        begin = len(one) - len(b"payload 1")
        assert len(one) == len(other)
        for mixed in (one[:begin] + other[begin:], other[:16] + one[16:48] + other[48:], one[:48] + other[48:begin] + one[begin:]):
            with pytest.raises(StateError, match="was changed or damaged"):
                unseal(mixed, SIGNED)

    def test_nothing_can_be_shifted_between_header_and_payload(self) -> None:
        """Blanks after the header are still the header, so only the lengths tell where the payload begins."""

        def shifted(keyring: Keyring) -> bytes:
            sealed = seal(header(), b"   payload", keyring)
            return sealed[:4] + (int.from_bytes(sealed[4:8]) + 3).to_bytes(4) + (7).to_bytes(8) + sealed[16:]

        plain = shifted(UNSIGNED)
        hashed = hashlib.sha256(plain[:16] + plain[48:]).digest()
        assert unseal(plain[:16] + hashed + plain[48:], UNSIGNED) == (header(), b"payload"), "it reads well, but for the digest"
        with pytest.raises(StateError, match="was changed or damaged"):
            unseal(shifted(SIGNED), SIGNED)

    def test_a_signature_cannot_be_taken_off(self) -> None:
        """The forger makes a proper unsigned blob of a signed one."""
        forged = seal(header(), b"payload", UNSIGNED)
        with pytest.raises(StateError, match="is not signed, and this worker takes only signed ones"):
            unseal(forged, SIGNED)

    def test_a_plain_hash_is_no_signature(self) -> None:
        sealed = seal(header(), b"payload", SIGNED)
        hashed = hashlib.sha256(sealed[:16] + sealed[48:]).digest()
        with pytest.raises(StateError, match="was changed or damaged"):
            unseal(sealed[:16] + hashed + sealed[48:], SIGNED)

    def test_a_forged_key_id_gains_nothing(self) -> None:
        sealed = seal(header(), b"payload", Keyring(keys=(Key(id=NEW.id, secret=b"guessed-by-forger"),)))
        with pytest.raises(StateError, match="another secret goes by the key id '2026-02'"):
            unseal(sealed, Keyring(keys=(OLD, NEW)))

    def test_what_is_no_blob_is_refused(self) -> None:
        for data in (b"", b"SRS1", pickle.dumps({"a": 1}) * 20, b"SRS1" + bytes(100)):
            with pytest.raises(StateError):
                unseal(data, SIGNED)

    def test_another_format_is_named(self) -> None:
        with pytest.raises(StateError, match="has seal format b'SRS2', this release reads b'SRS1': use the release that wrote it"):
            unseal(b"SRS2" + seal(header(), b"payload", SIGNED)[4:], SIGNED)

    def test_a_header_nested_without_end_is_damage(self) -> None:
        head = b'{"x":' + b"[" * 60_000
        with pytest.raises(StateError, match="header that cannot be read"):
            unseal(b"SRS1" + len(head).to_bytes(4) + bytes(8 + 32) + head, UNSIGNED)

    @given(st.binary(max_size=120))
    def test_no_bytes_are_anything_but_a_state_error(self, data: bytes) -> None:
        for blob in (data, b"SRS1" + data):
            with pytest.raises(StateError):
                unseal(blob, UNSIGNED)


class TestKeys:
    def test_the_first_key_signs_and_all_verify(self) -> None:
        by_old = seal(header(), b"old", Keyring(keys=(OLD,)))
        rotated = Keyring(keys=(NEW, OLD))
        by_new = seal(header(), b"new", rotated)
        assert unseal(by_old, rotated)[1] == b"old"
        assert unseal(by_new, rotated)[1] == b"new"
        assert unseal(by_new, Keyring(keys=(NEW,)))[1] == b"new"
        with pytest.raises(StateError, match="signed with the key '2026-01', and this worker has '2026-02'"):
            unseal(by_old, Keyring(keys=(NEW,)))

    def test_unsigned_mode_refuses_a_signed_blob_unless_it_knows_the_key(self) -> None:
        sealed = seal(header(), b"payload", SIGNED)
        with pytest.raises(StateError, match="signed with the key '2026-01', and this worker has no keys: give it a signing key file"):
            unseal(sealed, UNSIGNED)
        knowing = Keyring(keys=(OLD,), signs=False)
        assert unseal(sealed, knowing)[1] == b"payload"
        assert unseal(seal(header(), b"plain", knowing), UNSIGNED)[1] == b"plain"
        with pytest.raises(StateError, match="was changed or damaged"):
            unseal(sealed[:-1] + b"!", knowing)

    def test_no_secret_is_shown(self) -> None:
        assert "ooo" not in repr(SIGNED)

    def test_a_keyring_without_keys_must_say_that_it_means_it(self) -> None:
        with pytest.raises(SettingsError, match="no signing key"):
            Keyring(keys=())


class TestKeyFile:
    def test_it_has_a_key_a_line_in_hexadecimal_or_base64(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        private(file).write_text(
            f"# keys of the worker\n\nnew : {'0f' * 16}  # since May\nold:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\r\n"
        )
        assert Keyring.from_file(file).keys == (Key(id="new", secret=b"\x0f" * 16), Key(id="old", secret=bytes(range(32))))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "no signing key"),
            ("# nothing\n", "no signing key"),
            ("SECRET0SECRET0SECRET0", "line 1: it is not `id:secret`"),
            ("\nkey:SECRET0!SECRET0!SECRET0!", "line 2: what follows the colon is neither hexadecimal nor base64"),
            ("key:SECRET0", "line 1: what follows the colon is neither"),
            ("key:0a0b", "line 1: the secret of a signing key has 16 bytes or more, not 2"),
            ("key:", "line 1: the secret of a signing key has 16 bytes or more, not 0"),
            ("SECRET0/SECRET0==:" + "ab" * 16, "line 1: the id of a signing key is 1 to 64 letters"),
            (f"key:{'ab' * 16}\nkey:{'cd' * 16}", "several signing keys have the id 'key'"),
        ],
    )
    def test_a_fault_is_named_without_showing_a_secret(self, tmp_path: Path, text: str, message: str) -> None:
        file = tmp_path / "keys"
        private(file).write_text(text)
        with pytest.raises(SettingsError, match=message) as caught:
            Keyring.from_file(file)
        assert str(file) in str(caught.value)
        assert "SECRET0" not in str(caught.value)

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="absent cannot be read: No such file"):
            Keyring.from_file(tmp_path / "absent")
        private(tmp_path / "binary").write_bytes(b"\xff\xfe")
        with pytest.raises(SettingsError, match="binary cannot be read: it is not UTF-8 text"):
            Keyring.from_file(tmp_path / "binary")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
    def test_a_file_that_others_can_open_is_refused_with_the_command_that_closes_it(self, tmp_path: Path, mode: int) -> None:
        file = private(tmp_path / "keys")
        file.write_text("k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        file.chmod(mode)
        with pytest.raises(SettingsError, match=f"its mode is {mode:04o}.: chmod 600 {file}"):
            Keyring.from_file(file)

    @pytest.mark.parametrize(
        ("mode", "owner", "reader", "is_open"),
        [
            (0o600, 10_001, 10_001, False),
            (0o440, 10_001, 10_001, True),
            (0o440, 0, 0, True),
            (0o440, 0, 10_001, False),  # a Kubernetes secret under fsGroup, a credential of systemd
            (0o400, 0, 10_001, False),
            (0o460, 0, 10_001, True),
            (0o450, 0, 10_001, True),
            (0o444, 0, 10_001, True),
        ],
    )
    def test_the_group_may_read_what_another_user_gave_it(self, mode: int, owner: int, reader: int, is_open: bool) -> None:
        assert is_open_to_others(mode, owner=owner, reader=reader) is is_open

    def test_a_user_reads_the_file_that_root_gave_to_its_group(self) -> None:
        """As in a pod whose secret has `fsGroup`."""
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            file = private(Path(folder) / "keys")
            file.write_text("k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
            os.chown(file, 0, 10_001)
            file.chmod(0o440)
            child = os.fork()
            if child == 0:
                os.setgroups([])
                os.setgid(10_001)
                os.setuid(10_001)
                code = 2
                try:
                    code = int(Keyring.from_file(file).keys[0].id != "k")
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_a_byte_order_mark_is_no_part_of_the_first_id(self, tmp_path: Path) -> None:
        file = private(tmp_path / "keys")
        file.write_bytes(b"\xef\xbb\xbfk1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        assert Keyring.from_file(file).keys[0].id == "k1"


def private(file: Path) -> Path:
    file.touch(mode=0o600)
    return file
