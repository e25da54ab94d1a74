/** A device's end of a link in a thread of its own: posts many requests, a few at a time, and tells how many were answered. */
import { parentPort, workerData } from 'node:worker_threads';
import { flatMemory } from './guest-memory.ts';
import { type IoLink, openIoPort } from './io-link.ts';

const { link, requests } = workerData as { readonly link: IoLink; readonly requests: number };
const port = openIoPort(link, flatMemory(0));
const MOST_UNDER_WAY = 3;
let posted = 0;
let answered = 0;
while (answered < requests) {
  while (posted < requests && posted - answered < MOST_UNDER_WAY) {
    port.post({ operation: 0, tag: posted, id: 1, position: 0, count: 0, segments: [], access: 'read' });
    posted++;
  }
  while (port.collect() !== undefined) answered++;
}
parentPort?.postMessage(answered);
