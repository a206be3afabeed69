import { describeEveryRequest } from './every-request';
import { WORKLOADS } from './file-workload';

describeEveryRequest(WORKLOADS[2]);
