/** Serves a folder to the device that a guest reaches it by: requests of an `IoPort` are messages to the folder's server. */
import { FOLDER_IN_USE, FOLDER_OPERATION } from '../devices/folder-port.ts';
import type { IoHandler } from '../memory/io-link.ts';
import type { FolderServer } from './server.ts';

export function folderHandler(server: FolderServer): IoHandler {
  const finished = (length: number) => (server.inUse() ? length + FOLDER_IN_USE : length);
  return (request) => {
    if (request.operation === FOLDER_OPERATION.reset) {
      server.reset();
      request.answer(0);
      return;
    }
    const length = server.serve(request.spans, request.reply);
    if (typeof length === 'number') request.answer(finished(length));
    else length.then((bytes) => request.answer(finished(bytes)));
  };
}
