/** The instructions of the system level. */
import type { Definition } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import { cache } from './cache.ts';
import { control, controlHelpers } from './control.ts';
import { descriptorTable, descriptorTableHelpers } from './descriptor-table.ts';
import { fastCall, fastCallHelpers } from './fast-call.ts';
import { identification, identificationHelpers } from './identification.ts';
import { leaveHelpers } from './leave.ts';
import { port, portHelpers } from './port.ts';
import { save, saveHelpers } from './save.ts';
import { segment, segmentHelpers } from './segment.ts';
import { transfer, transferHelpers } from './transfer.ts';

export const system: readonly Definition[] = [
  ...transfer,
  ...fastCall,
  ...segment,
  ...descriptorTable,
  ...control,
  ...port,
  ...identification,
  ...save,
  ...cache,
];

/** Those without a body are given by `cpu/system-functions.ts`. */
export const systemHelpers: readonly Helper[] = [
  ...leaveHelpers,
  ...transferHelpers,
  ...fastCallHelpers,
  ...segmentHelpers,
  ...descriptorTableHelpers,
  ...controlHelpers,
  ...portHelpers,
  ...identificationHelpers,
  ...saveHelpers,
];
