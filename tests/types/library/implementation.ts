// What js/src exports is what js/types says.
import type * as declared from 'perdure';
import type * as declaredWorkers from 'perdure/workers';
import * as implemented from '../../../js/src/index.js';
import * as workers from '../../../js/src/workers.js';

type Names<T> = keyof T;
const sameNames: Names<typeof implemented> extends Names<typeof declared> ? (Names<typeof declared> extends Names<typeof implemented> ? true : false) : false = true;
const sameWorkers: Names<typeof workers> extends Names<typeof declaredWorkers> ? (Names<typeof declaredWorkers> extends Names<typeof workers> ? true : false) : false = true;

type Options = Parameters<typeof implemented.open>[0];
type Registry = ReturnType<typeof implemented.open>;
const options: [declared.OpenOptions, Options] = [{} as Required<Options>, {} as Required<declared.OpenOptions>];
type NamespaceOptions = NonNullable<Parameters<Registry['namespace']>[2]>;
const namespaceOptions: [declared.NamespaceOptions, NamespaceOptions] = [{} as Required<NamespaceOptions>, {} as Required<declared.NamespaceOptions>];
type CloseOptions = NonNullable<Parameters<Registry['close']>[0]>;
const closeOptions: [declared.CloseOptions, CloseOptions] = [{} as Required<CloseOptions>, {} as Required<declared.CloseOptions>];
const members: keyof Registry extends keyof declared.Registry ? (keyof declared.Registry extends keyof Registry ? true : false) : false = true;

export { closeOptions, members, namespaceOptions, options, sameNames, sameWorkers };
