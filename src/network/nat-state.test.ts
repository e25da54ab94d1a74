import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connected, createNatRig, GUEST, OUTSIDE, tcpFrame, tcpOf, udpFrame } from './nat.test-helper.ts';
import { FLAG } from './tcp/segment.ts';

const { syn: SYN, rst: RST, ack: ACK } = FLAG;

describe('a guest that was saved goes on with another network', () => {
  test('its connections are reset at once, from exactly where it stands', async () => {
    const rig = createNatRig();
    const guest = await connected(rig);
    guest.send([1, 2, 3]);
    guest.socket.events.received(Uint8Array.of(9, 9));
    guest.take();
    const other = createNatRig();
    other.nat.restore(JSON.parse(JSON.stringify(rig.nat.save())));
    const [reset, ...more] = other.heard();
    const { from, to, sequence, acknowledgement, flags } = tcpOf(reset!);
    assert.deepEqual([reset!.source, from, reset!.destination, to, more.length], [OUTSIDE, 80, GUEST.v4, 1000, 0]);
    assert.deepEqual([sequence, acknowledgement, flags], [guest.acknowledged, 104, RST | ACK]);
    // One whose reset was lost, or came too early, is reset by what the guest sends next.
    other.give(
      tcpFrame(OUTSIDE, { from: 1000, to: 80, sequence: 104, acknowledgement: guest.acknowledged, flags: ACK }),
    );
    const answer = tcpOf(other.heard()[0]!);
    assert.deepEqual([answer.flags, answer.sequence], [RST, guest.acknowledged]);
    assert.equal(other.nat.figures()['TCP connections'], 0);
  });

  test('its address is its own, and forwarded ports lead to it', async () => {
    const rig = createNatRig();
    const dhcp = (type: number) => {
      const head = [1, 1, 6, 0, 1, 2, 3, 4, ...Array(20).fill(0), ...GUEST.mac];
      const fixed = [...head, ...Array(236 - head.length).fill(0), 0x63, 0x82, 0x53, 0x63, 53, 1, type];
      rig.give(udpFrame('255.255.255.255', 68, 67, [...fixed, 50, 4, 10, 0, 2, 99, 255], '0.0.0.0'));
    };
    dhcp(1);
    dhcp(3);
    rig.give(udpFrame('10.0.2.2', 9, 9, [], '10.0.2.99'));
    const other = createNatRig();
    other.nat.restore(rig.nat.save());
    assert.equal(other.nat.figures().leases, 1);
    await other.nat.forward({ protocol: 'tcp', at: { address: '127.0.0.1', port: 8080 }, port: 80 });
    other.host.dial(8080);
    const [syn] = other.heard();
    assert.deepEqual([syn!.destination, tcpOf(syn!).flags], ['10.0.2.99', SYN]);
  });
});
